//! Reading a file of users, one object at a time.
//!
//! The first character determines the format. An error that concerns the whole file is reported
//! before anything is written.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::de::{self, Deserializer as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::{Map, Value, value::RawValue};

/// A JSON object, or a CSV record as one.
pub(super) type Object = Map<String, Value>;

/// Maximum length of a line, which bounds the use of memory.
const MAX_LINE_BYTES: u64 = 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The format of a file of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FileFormat {
    /// A JSON object on each line
    Jsonl,
    /// A JSON array of objects
    Json,
    /// Comma-separated values, with the names of the fields in the first line
    Csv,
}

/// Returns the format of `path`: `format`, or the one that its first character indicates. Fails if
/// the file as a whole cannot be read. `address_names` are the possible names of a CSV file's
/// address column.
pub(super) fn check(
    path: &Path,
    format: Option<FileFormat>,
    address_names: &[String],
) -> Result<FileFormat> {
    let mut input = open(path)?;
    let first = first_character(&mut input);
    let first = first.with_context(|| format!("reading {}", path.display()))?;
    let format = match (format, first) {
        (Some(format), _) => format,
        (None, None) => return refuse(path, "is empty"),
        (None, Some(b'[')) => FileFormat::Json,
        (None, Some(b'{')) => FileFormat::Jsonl,
        (None, Some(_)) => FileFormat::Csv,
    };
    match format {
        FileFormat::Jsonl => {}
        FileFormat::Json => {
            if let Err(error) = serde_json::from_reader::<_, Vec<IgnoredAny>>(input) {
                return refuse(path, format!("is not a JSON array: {error}"));
            }
        }
        FileFormat::Csv => check_csv_header(path, input, address_names)?,
    }
    Ok(format)
}

fn check_csv_header(path: &Path, input: impl Read, address_names: &[String]) -> Result<()> {
    let mut csv = csv::Reader::from_reader(input);
    let header = csv
        .headers()
        .with_context(|| format!("reading {}", path.display()))?;
    let has_address = header
        .iter()
        .any(|name| address_names.iter().any(|known| known == name));
    if has_address {
        return Ok(());
    }
    let reason = format!(
        "the first line has no column {}; name the address column with --field email=COLUMN",
        address_names.join(" or ")
    );
    refuse(path, reason)
}

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    Ok(BufReader::new(file))
}

/// Returns an error about `path`, before anything is written.
fn refuse<T>(path: &Path, reason: impl std::fmt::Display) -> Result<T> {
    bail!("{}: {reason}. Nothing was written", path.display())
}

/// Skips a byte order mark and white space, and returns the next byte without consuming it.
fn first_character(input: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        match input.fill_buf()?.first() {
            Some(byte) if byte.is_ascii_whitespace() || BYTE_ORDER_MARK.contains(byte) => {
                input.consume(1);
            }
            first => return Ok(first.copied()),
        }
    }
}

/// Calls `each` with the line and content of every row of `input`, until it returns `false`.
pub(super) fn for_each(
    input: impl Read,
    format: FileFormat,
    each: impl FnMut(u64, Result<Object, String>) -> bool,
) -> Result<()> {
    let input = BufReader::with_capacity(64 * 1024, input);
    match format {
        FileFormat::Jsonl => read_lines(input, each),
        FileFormat::Json => read_array(input, each),
        FileFormat::Csv => read_csv(input, each),
    }
}

fn read_lines(
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
        let text = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line);
        let object = if is_cut {
            input.skip_until(b'\n')?;
            Err("the line is longer than 1 MiB".to_owned())
        } else if text.trim_ascii().is_empty() {
            continue;
        } else {
            serde_json::from_slice(text).map_err(|error| not_an_object(&error))
        };
        if !each(number, object) {
            break;
        }
    }
    Ok(())
}

fn not_an_object(error: &serde_json::Error) -> String {
    let error = error.to_string();
    // The parser counts lines from the start of the row.
    let (reason, _) = error.split_once(" at line ").unwrap_or((&error, ""));
    format!("is not a JSON object: {reason}")
}

fn read_csv(
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
                Some(line) => (line, Err(format!("is not a CSV record: {error}"))),
                None => bail!(error),
            },
        };
        if !each(line, object) {
            return Ok(());
        }
    }
}

/// Counts the lines read through it. The parser reads one byte at a time and none in advance, so
/// the count is the position of the parser.
struct LineCounter<'a, R> {
    input: R,
    line: &'a Cell<u64>,
}

impl<R: Read> Read for LineCounter<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        let breaks = buffer[..count].split(|byte| *byte == b'\n').count() - 1;
        self.line.set(self.line.get() + breaks as u64);
        Ok(count)
    }
}

/// Visits the elements of an array, with one in memory at a time.
struct ArrayVisitor<'a, F> {
    line: &'a Cell<u64>,
    each: F,
}

impl<'de, F> Visitor<'de> for ArrayVisitor<'_, F>
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
            let object = serde_json::from_str(text).map_err(|error| not_an_object(&error));
            if !(self.each)(self.line.get() - breaks, object) {
                return Err(de::Error::custom("stopped early"));
            }
        }
        Ok(())
    }
}

fn read_array(
    mut input: impl BufRead,
    mut each: impl FnMut(u64, Result<Object, String>) -> bool,
) -> Result<()> {
    let (line, mut is_stopped) = (Cell::new(1), false);
    if input.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
        input.consume(BYTE_ORDER_MARK.len());
    }
    let visitor = ArrayVisitor {
        line: &line,
        each: |line, object| {
            is_stopped = !each(line, object);
            !is_stopped
        },
    };
    let input = LineCounter { input, line: &line };
    let read = serde_json::Deserializer::from_reader(input).deserialize_seq(visitor);
    // A visitor can stop only with an error, so it is no failure if `each` stopped.
    if is_stopped { Ok(()) } else { Ok(read?) }
}
