//! `loss.csv`: one line per step, written after the step.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::files;

const HEADING: &str = "step,tokens,lr,train_loss,val_loss,grad_norm,tokens_per_s";

/// One line of `loss.csv`.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Steps done.
    pub step: u64,
    /// Tokens read so far.
    pub tokens: u64,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// The mean loss of this step's examples before the update, in nats per token.
    pub train_loss: f64,
    /// The validation loss after the update, if it was measured.
    pub validation_loss: Option<f64>,
    /// The gradient's global norm before clipping.
    pub gradient_norm: f64,
    /// Throughput of this step.
    pub tokens_per_second: f64,
}

impl Row {
    fn line(&self) -> String {
        let validation = self.validation_loss.map_or(String::new(), |loss| format!("{loss:.6}"));
        format!(
            "{},{},{:.6e},{:.6},{validation},{:.6},{:.0}\n",
            self.step,
            self.tokens,
            self.learning_rate,
            self.train_loss,
            self.gradient_norm,
            self.tokens_per_second
        )
    }

    fn parse(line: &str) -> Option<Row> {
        let mut fields = line.split(',');
        let mut next = || fields.next();
        let row = Row {
            step: next()?.parse().ok()?,
            tokens: next()?.parse().ok()?,
            learning_rate: next()?.parse().ok()?,
            train_loss: next()?.parse().ok()?,
            validation_loss: Some(next()?)
                .filter(|text| !text.is_empty())
                .map(str::parse)
                .transpose()
                .ok()?,
            gradient_norm: next()?.parse().ok()?,
            tokens_per_second: next()?.parse().ok()?,
        };
        Some(row)
    }
}

/// The file, open for appending, and its rows.
pub(crate) struct Losses {
    file: File,
    pub(crate) rows: Vec<Row>,
}

impl Losses {
    /// Opens the file and keeps the rows up to `step`: later ones belong to work that was lost and will be repeated.
    pub(crate) fn open(path: &Path, step: u64) -> io::Result<Losses> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        // An incomplete line was being written when the run was interrupted.
        let rows = text.lines().skip(1).map_while(Row::parse).take_while(|row| row.step <= step);
        let rows: Vec<Row> = rows.collect();
        let lines: String = rows.iter().map(Row::line).collect();
        files::write(path, format!("{HEADING}\n{lines}"))?;
        Ok(Losses { file: OpenOptions::new().append(true).open(path)?, rows })
    }

    /// Appends a row.
    pub(crate) fn push(&mut self, row: Row) -> io::Result<()> {
        self.file.write_all(row.line().as_bytes())?;
        self.rows.push(row);
        Ok(())
    }
}

/// Reads the rows of a `loss.csv`, up to the first incomplete line.
///
/// # Errors
/// If the file cannot be read.
pub fn read_losses(path: &Path) -> io::Result<Vec<Row>> {
    Ok(std::fs::read_to_string(path)?.lines().skip(1).map_while(Row::parse).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_after_the_checkpoint_and_incomplete_rows_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loss.csv");
        let row = |step, validation_loss| Row {
            step,
            tokens: step * 10,
            learning_rate: 1e-3,
            train_loss: 2.5,
            validation_loss,
            gradient_norm: 0.5,
            tokens_per_second: 100.0,
        };
        let mut losses = Losses::open(&path, 0).unwrap();
        for step in 1..=4 {
            losses.push(row(step, (step == 2).then_some(2.25))).unwrap();
        }
        losses.file.write_all(b"5,50,1e-3,2.").unwrap();
        assert_eq!(read_losses(&path).unwrap().len(), 4);
        let losses = Losses::open(&path, 3).unwrap();
        assert_eq!(losses.rows, [row(1, None), row(2, Some(2.25)), row(3, None)]);
        assert_eq!(read_losses(&path).unwrap(), losses.rows);
    }
}
