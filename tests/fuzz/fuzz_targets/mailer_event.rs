#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::bounded(fuzz::targets::mailer_event, data));
