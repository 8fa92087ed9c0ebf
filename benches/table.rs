//! The table: what was measured, its floor, the goal, and whether it is met.

use std::fmt::Write;

use serde::Serialize;

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    pub row: &'static str,
    pub what: String,
    pub ours: f64,
    pub unit: &'static str,
    pub floor: Option<Floor>,
    pub goal: Option<Goal>,
    /// What is wrong with it beside the figure: then the goal is not met.
    pub wrong: Option<String>,
    /// The share of the machine that others took, from 0 to 1.
    pub noise: Option<f64>,
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Floor {
    pub name: String,
    pub figure: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub enum Goal {
    /// So many times the floor.
    Times(f64),
    AtMost(f64),
    AtLeast(f64),
}

/// From here on a comparison is worth little.
const NOISY: f64 = 0.05;

impl Line {
    pub fn new(row: &'static str, what: impl Into<String>, ours: f64, unit: &'static str) -> Self {
        let what = what.into();
        Self { row, what, ours, unit, floor: None, goal: None, wrong: None, noise: None, notes: Vec::new() }
    }

    pub fn floor(mut self, name: impl Into<String>, figure: f64) -> Self {
        self.floor = Some(Floor { name: name.into(), figure });
        self
    }

    pub fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    pub fn wrong(mut self, wrong: Option<String>) -> Self {
        self.wrong = wrong;
        self
    }

    /// The most that there was in any repetition.
    pub fn noise(mut self, noise: impl IntoIterator<Item = f64>) -> Self {
        self.noise = noise.into_iter().reduce(f64::max);
        self
    }

    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    fn ratio(&self) -> Option<f64> {
        Some(self.ours / self.floor.as_ref()?.figure)
    }

    /// None where there is no goal, or no floor to hold it against.
    pub fn met(&self) -> Option<bool> {
        let within = match self.goal? {
            Goal::Times(most) => self.ratio()? <= most,
            Goal::AtMost(most) => self.ours <= most,
            Goal::AtLeast(least) => self.ours >= least,
        };
        Some(within && self.wrong.is_none())
    }

    fn cells(&self) -> [String; 7] {
        let goal = match self.goal {
            None => String::new(),
            Some(Goal::Times(most)) => format!("<= {most} x"),
            Some(Goal::AtMost(most)) => format!("<= {}", figure(most)),
            Some(Goal::AtLeast(least)) => format!(">= {}", figure(least)),
        };
        let met = match self.met() {
            None => "",
            Some(true) => "yes",
            Some(false) => "NO",
        };
        let floor = self.floor.as_ref().map(|floor| figure(floor.figure)).unwrap_or_default();
        let noise = self.noise.map(|noise| format!("{:.0} %{}", noise * 100.0, if noise > NOISY { " !" } else { "" }));
        [
            format!("{}: {}", self.row, self.what),
            format!("{} {}", figure(self.ours), self.unit),
            floor,
            self.ratio().map(|ratio| format!("{ratio:.2} x")).unwrap_or_default(),
            goal,
            met.to_owned(),
            noise.unwrap_or_default(),
        ]
    }

    /// The line by itself, with all that there is to say of it.
    pub fn in_words(&self) -> String {
        let [_, ours, floor, ratio, goal, met, noise] = self.cells();
        let mut text = format!("  {}: {ours}", self.what);
        if let Some(of) = &self.floor {
            let _ = write!(text, ", {}: {floor}, ratio {ratio}", of.name);
        }
        if self.goal.is_some() {
            let _ = write!(text, ", goal {goal}: {}", if met.is_empty() { "not compared" } else { &met });
        }
        if !noise.is_empty() {
            let _ = write!(text, ", noise {noise}");
        }
        for note in self.wrong.iter().chain(&self.notes) {
            let _ = write!(text, "\n    {note}");
        }
        text
    }
}

/// All lines, in columns.
pub fn render(lines: &[Line]) -> String {
    let head = ["", "ours", "floor", "ratio", "goal", "met", "noise"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(lines.iter().map(Line::cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..7).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match index {
                0 | 5 => write!(text, "{cell:width$}  "),
                _ => write!(text, "{cell:>width$}  "),
            };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    if lines.iter().any(|line| line.noise.is_some_and(|noise| noise > NOISY)) {
        text.push_str("\n! others took more than 5 % of the machine: measure again when it is calm\n");
    }
    text
}

/// To three digits, as nobody needs more.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => thousands(value),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group).into_owned());
    format!("{}{}", if value < 0.0 { "-" } else { "" }, groups.collect::<Vec<_>>().join(","))
}
