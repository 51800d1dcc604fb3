//! The file, an object at a time: a form is known by its first character, and what is wrong with
//! the form as a whole is found before anything is written.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use anyhow::{Context, Result, bail};
use serde::de::{self, Deserializer as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::{Map, Value, value::RawValue};

use super::{Format, unreadable};

/// A row of a file.
pub(super) type Object = Map<String, Value>;

/// No line is longer, so that memory does not depend on the file.
const MAX_LINE_BYTES: u64 = 1024 * 1024;

/// The form of `file`, which is what was asked for, or what it looks like. An error where it
/// cannot be read as a whole; `address` are the names that a CSV file may have for the address.
pub(super) fn check(file: &Path, format: Option<Format>, address: &[String]) -> Result<Format> {
    let open = || File::open(file).with_context(|| format!("opening {}", file.display()));
    let mut input = BufReader::new(open()?);
    let first = first_character(&mut input);
    let first = first.with_context(|| format!("reading {}", file.display()))?;
    let format = match (format, first) {
        (Some(format), _) => format,
        (None, None) => return unreadable(file, "is empty"),
        (None, Some(b'[')) => Format::Json,
        (None, Some(b'{')) => Format::Jsonl,
        (None, Some(_)) => Format::Csv,
    };
    match format {
        Format::Jsonl => {}
        Format::Json => {
            let mut input = BufReader::new(open()?);
            first_character(&mut input)?;
            if let Err(error) = serde_json::from_reader::<_, Vec<IgnoredAny>>(input) {
                return unreadable(file, format!("is no JSON array: {error}"));
            }
        }
        Format::Csv => {
            let mut input = BufReader::new(open()?);
            first_character(&mut input)?;
            let mut csv = csv::Reader::from_reader(input);
            let header = csv
                .headers()
                .with_context(|| format!("reading {}", file.display()))?;
            if !header
                .iter()
                .any(|name| address.iter().any(|known| known == name))
            {
                let reason = format!(
                    "its first line has no column {}; name the one that holds the address with \
                     --field email=COLUMN",
                    address.join(" or ")
                );
                return unreadable(file, reason);
            }
        }
    }
    Ok(format)
}

/// Passes over a byte order mark and white space; the byte that comes then.
fn first_character(input: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        match input.fill_buf()?.first() {
            Some(byte) if byte.is_ascii_whitespace() || b"\xef\xbb\xbf".contains(byte) => {
                input.consume(1);
            }
            first => return Ok(first.copied()),
        }
    }
}

/// Calls `each` with every row of `input` and its line, until it answers `false`.
pub(super) fn each(
    input: impl Read,
    format: Format,
    each: impl FnMut(u64, Result<Object, String>) -> bool,
) -> Result<()> {
    let input = BufReader::with_capacity(64 * 1024, input);
    match format {
        Format::Jsonl => lines(input, each),
        Format::Json => elements(input, each),
        Format::Csv => records(input, each),
    }
}

fn lines(
    mut input: impl BufRead,
    mut each: impl FnMut(u64, Result<Object, String>) -> bool,
) -> Result<()> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if (&mut input)
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)?
            == 0
        {
            break;
        }
        let is_cut = line.len() as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n");
        let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
        let object = if is_cut {
            input.skip_until(b'\n')?;
            Err("the line is longer than 1 MiB".to_owned())
        } else if text.trim_ascii().is_empty() {
            continue;
        } else {
            serde_json::from_slice(text).map_err(|error| no_object(&error))
        };
        if !each(number, object) {
            break;
        }
    }
    Ok(())
}

fn no_object(error: &serde_json::Error) -> String {
    let error = error.to_string();
    // The parser's line is counted from the beginning of the row.
    let (reason, _) = error.split_once(" at line ").unwrap_or((&error, ""));
    format!("is no JSON object: {reason}")
}

fn records(
    input: impl Read,
    mut each: impl FnMut(u64, Result<Object, String>) -> bool,
) -> Result<()> {
    let mut csv = csv::Reader::from_reader(input);
    let header = csv.headers()?.clone();
    let mut record = csv::StringRecord::new();
    loop {
        let read = csv.read_record(&mut record);
        let (line, object) = match read {
            Ok(false) => return Ok(()),
            Ok(true) => {
                let cells = header.iter().zip(&record);
                let cells = cells.map(|(name, cell)| (name.to_owned(), cell.into()));
                (
                    record.position().map_or(0, csv::Position::line),
                    Ok(cells.collect()),
                )
            }
            Err(error) => match error.position().map(csv::Position::line) {
                Some(line) => (line, Err(format!("is no row of the table: {error}"))),
                None => bail!(error),
            },
        };
        if !each(line, object) {
            return Ok(());
        }
    }
}

/// Counts the lines that are read through it. The parser takes a byte at a time from it and
/// never one too many, so that the count says where the parser is.
struct Lines<'a, R> {
    input: R,
    line: &'a Cell<u64>,
}

impl<R: Read> Read for Lines<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        let breaks = buffer[..count].split(|byte| *byte == b'\n').count() - 1;
        self.line.set(self.line.get() + breaks as u64);
        Ok(count)
    }
}

/// The elements of one array, of which only one is held at a time.
struct Elements<'a, F> {
    line: &'a Cell<u64>,
    each: F,
}

impl<'de, F> Visitor<'de> for Elements<'_, F>
where
    F: FnMut(u64, Result<Object, String>) -> bool,
{
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<Box<RawValue>>()? {
            let text = element.get();
            let breaks = text.matches('\n').count() as u64;
            let object = serde_json::from_str(text).map_err(|error| no_object(&error));
            if !(self.each)(self.line.get() - breaks, object) {
                return Err(de::Error::custom("the rest is not read"));
            }
        }
        Ok(())
    }
}

fn elements(
    mut input: impl BufRead,
    mut each: impl FnMut(u64, Result<Object, String>) -> bool,
) -> Result<()> {
    let (line, mut is_stopped) = (Cell::new(1), false);
    if input.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        input.consume(3);
    }
    let elements = Elements {
        line: &line,
        each: |line, object| {
            is_stopped = !each(line, object);
            !is_stopped
        },
    };
    let input = Lines { input, line: &line };
    let read = serde_json::Deserializer::from_reader(input).deserialize_seq(elements);
    // Why the rest was not wanted is known to whoever did not want it.
    if is_stopped { Ok(()) } else { Ok(read?) }
}
