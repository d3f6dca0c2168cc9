//! The rows, as a table and as JSON.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// One figure, beside its floor and its target where it has them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    row: String,
    value: f64,
    /// Of `value` and `floor`. More is better when it ends with `/s`; otherwise less is.
    unit: String,
    /// What the same takes without us, or with one runner, measured in the same run.
    floor: Option<f64>,
    /// `value / floor`.
    ratio: Option<f64>,
    /// A bound of `ratio` where there is a floor, otherwise of `value`: the least when more is better, else the most.
    target: Option<f64>,
    /// Whether the target is met.
    ok: Option<bool>,
}

impl Row {
    pub(crate) fn new(row: impl Into<String>, value: f64, unit: &str) -> Self {
        let (row, unit) = (row.into(), unit.to_owned());
        Self { row, value: rounded(value), unit, floor: None, ratio: None, target: None, ok: None }
    }

    /// Beside this floor, in the row's unit. It comes before the target.
    pub(crate) fn floor(mut self, floor: f64) -> Self {
        let floor = rounded(floor);
        (self.floor, self.ratio) = (Some(floor), Some(rounded(self.value / floor)));
        self
    }

    /// With a bound of the ratio, or of the value where there is no floor.
    pub(crate) fn target(mut self, target: f64) -> Self {
        let bounded = self.ratio.unwrap_or(self.value);
        self.target = Some(target);
        self.ok = Some(if self.more_is_better() { bounded >= target } else { bounded <= target });
        self
    }

    fn more_is_better(&self) -> bool {
        self.unit.ends_with("/s")
    }
}

/// Three places are more than any of this can be repeated to.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// The names of the table's columns.
pub(crate) fn head() -> String {
    line(["row", "value", "", "floor", "ratio", "target", ""])
}

fn line([row, value, unit, floor, ratio, target, verdict]: [&str; 7]) -> String {
    let line = format!("{row:<54} {value:>8} {unit:<5} {floor:>8} {ratio:>10}   {target:<10} {verdict}");
    line.trim_end().to_owned()
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: f64| format!("{value:.*}", if value < 1000.0 { 1 } else { 0 });
        let floor = self.floor.map(number).unwrap_or_default();
        let ratio = self.ratio.map(|ratio| format!("{ratio:.2} ×")).unwrap_or_default();
        let bound = if self.more_is_better() { '≥' } else { '≤' };
        let bounded = if self.floor.is_some() { "×" } else { &self.unit };
        let target = self.target.map(|target| format!("{bound} {target} {bounded}")).unwrap_or_default();
        let verdict = match self.ok {
            Some(true) => "ok",
            Some(false) => "MISSED",
            None => "",
        };
        f.write_str(&line([&self.row, &number(self.value), &self.unit, &floor, &ratio, &target, verdict]))
    }
}

/// How many targets are met, and which are not.
pub(crate) fn summary(rows: &[Row]) -> String {
    let with_target = rows.iter().filter(|row| row.ok.is_some()).count();
    let missed: Vec<_> = rows.iter().filter(|row| row.ok == Some(false)).map(|row| row.row.as_str()).collect();
    let met = format!("targets met: {} of {with_target}", with_target - missed.len());
    if missed.is_empty() { met } else { format!("{met}; MISSED: {}", missed.join("; ")) }
}

/// A list of objects, each with all fields; those that it has no value for are null.
pub(crate) fn write(rows: &[Row], file: &Path) -> anyhow::Result<()> {
    let mut json = serde_json::to_string_pretty(rows)?;
    json.push('\n');
    Ok(std::fs::write(file, json)?)
}
