//! What an import did, and what it could not do as it was asked.

use std::{collections::BTreeMap, fmt::Write};

/// Of each remark so many examples are named.
const EXAMPLES: usize = 5;

/// How many rows of a table were what.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) read: u64,
    pub(super) new: u64,
    pub(super) known: u64,
    /// Known ones that weren't what they are there.
    pub(super) renewed: u64,
    /// Here, and not there any more.
    pub(super) removed: u64,
}

/// A table's rows, and what was remarkable about some.
#[derive(Debug, Default)]
pub(super) struct Report {
    tables: Vec<(String, Counts)>,
    remarks: BTreeMap<&'static str, (u64, Vec<String>)>,
    differences: BTreeMap<&'static str, Vec<String>>,
}

impl Report {
    pub(super) fn table(&mut self, what: &str, table: &str, counts: Counts) {
        self.tables.push((format!("{what} of {table}"), counts));
    }

    /// `remark` is a sentence about several rows, of which this is one.
    pub(super) fn remark(&mut self, remark: &'static str, example: impl Into<String>) {
        let (count, examples) = self.remarks.entry(remark).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(example.into());
        }
    }

    /// `remark` is a sentence about several rows, of which this is one that somebody has to look at: all are named.
    pub(super) fn difference(&mut self, remark: &'static str, row: String) {
        self.differences.entry(remark).or_default().push(row);
    }

    pub(super) fn text(&self, is_written: bool) -> String {
        let mut text = String::new();
        let new = if is_written { "copied" } else { "to be copied" };
        for (
            name,
            Counts {
                read,
                new: count,
                known,
                renewed,
                removed,
            },
        ) in &self.tables
        {
            let left_out = read - count - known;
            let _infallible = write!(
                text,
                "{name}: {read} read, {count} {new}, {known} here already"
            );
            if *renewed > 0 {
                let _infallible = write!(text, " ({renewed} of them different there)");
            }
            if *removed > 0 {
                let _infallible = write!(text, ", {removed} gone there");
            }
            if left_out > 0 {
                let _infallible = write!(text, ", {left_out} left out");
            }
            text.push('\n');
        }
        for (remark, (count, examples)) in &self.remarks {
            let more = if *count as usize > examples.len() {
                ", ..."
            } else {
                ""
            };
            let _infallible = writeln!(text, "- {count} {remark}: {}{more}", examples.join(", "));
        }
        for (remark, rows) in &self.differences {
            let _infallible = writeln!(text, "- {} {remark}:", rows.len());
            for row in rows {
                let _infallible = writeln!(text, "  {row}");
            }
        }
        if !is_written {
            text.push_str("a dry run: nothing was written\n");
        }
        text
    }
}
