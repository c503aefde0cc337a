//! A frame as text: a table where there is no terminal, an object for programs.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::failure::{Exit, Failure};
use crate::format::time;

use super::frame::Frame;
use super::table::{Column, cells, rows};

/// Writes to standard output. False if nobody reads it any more.
pub(super) fn write(text: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(Exit::Io, format!("cannot write to standard output: {error}"))),
    }
}

/// The header and all rows, whole.
pub(super) fn table(frame: &Frame) -> String {
    let mut text = frame.header(None).join("\n");
    text.push_str("\n\n");
    let rows = rows(&frame.processes, frame.at, (Column::Tokens, false), "");
    let cells_of = |row: &usize| Column::ALL.map(|column| column.cell(&frame.processes[*row], frame.at));
    let lines: Vec<[String; 11]> = std::iter::once(Column::ALL.map(|column| column.title().to_owned()))
        .chain(rows.iter().map(cells_of))
        .collect();
    let widths: Vec<usize> = (0..Column::ALL.len())
        .map(|column| lines.iter().map(|line| cells(&line[column])).max().unwrap_or(0))
        .collect();
    for line in &lines {
        let padded = line.iter().zip(&widths).zip(Column::ALL).map(|((cell, width), column)| {
            let gap = " ".repeat(width - cells(cell));
            if column.is_number() { format!("{gap}{cell}") } else { format!("{cell}{gap}") }
        });
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The same for programs.
pub(super) fn object(frame: &Frame, per_second: Option<u64>) -> Value {
    json!({
        "at": time(frame.at),
        "running": !frame.kernels.is_empty(),
        "kernels": frame.kernels,
        "cpus": frame.cpus,
        "limits": frame.limits,
        "processes": frame.processes,
        "totals": {
            "states": frame.states(),
            "tokens": frame.tokens(),
            "cost": frame.cost(),
            "tokens_per_second": per_second,
        },
        "notes": frame.notes,
    })
}
