//! Standard output for data, standard error for everything else.

use std::io::Write;

use clap::ValueEnum;
use comfy_table::Table;
use comfy_table::presets;
use serde_json::Value;

/// Form of the data on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Tables, for people.
    Table,
    /// JSON, for programs.
    Json,
}

/// Writes a line of data. A reader that has gone is no error of ours.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Writes a line of progress.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes progress over the line of progress before it.
pub(crate) fn same_line(text: &str) {
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "\r{text}\x1b[K");
    let _ = stderr.flush();
}

/// Writes an error.
pub(crate) fn error(text: &str) {
    let _ = writeln!(std::io::stderr(), "longshore: {text}");
}

/// Writes JSON data.
pub(crate) fn json(value: &Value) {
    line(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Writes a table.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for text in table.lines() {
        // Cells are padded on both sides; the left edge of the page needs none.
        line(text.strip_prefix(' ').unwrap_or(&text).trim_end());
    }
}
