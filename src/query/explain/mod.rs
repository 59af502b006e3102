//! A job as people read it: what is read, computed, held in memory and written. Only looks at the plan: no file is read
//! and nothing is asked of Kafka.

mod expression;
mod held;
mod outputs;
mod plans;
mod postgres;
mod source;
mod steps;
mod words;

use super::plan::JobPlan;
use super::sql::SqlFile;

pub(super) use held::{Held, held};
pub(super) use plans::{AbovePlan, Plans, element_name};
pub use words::{duration_words, size_words};

/// A job in words, by section. [`explain`] makes it.
#[derive(Debug)]
pub struct Explained {
    /// The stream that is read, as far as the SQL says it.
    pub source: Section,
    /// Event time: watermark, idleness, lateness.
    pub time: Section,
    /// Every INSERT, in the order of the file.
    pub outputs: Vec<Section>,
    /// DataFusion's plans, each with its heading.
    pub plans: Vec<(String, String)>,
}

/// Lines that belong together.
#[derive(Debug)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// Its lines, in order.
    pub lines: Vec<Line>,
}

/// Something that is said of a job.
#[derive(Debug)]
pub struct Line {
    /// What it is about; empty where it goes on from the line before.
    pub label: String,
    /// What is said, of any length.
    pub text: String,
}

impl Section {
    /// A section without lines.
    pub fn new(title: impl Into<String>) -> Section {
        Section {
            title: title.into(),
            lines: Vec::new(),
        }
    }

    /// Adds a line.
    pub fn say(&mut self, label: &str, text: impl Into<String>) {
        self.lines.push(Line {
            label: label.to_owned(),
            text: text.into(),
        });
    }

    /// Adds a line each, of which the first has the label; `otherwise` where there are none.
    fn list(&mut self, label: &str, texts: Vec<String>, otherwise: &str) {
        if texts.is_empty() {
            self.say(label, otherwise);
        }
        for (at, text) in texts.into_iter().enumerate() {
            self.say(if at == 0 { label } else { "" }, text);
        }
    }
}

/// Says what a job does. `file` is what it was planned from.
pub fn explain(plan: &JobPlan, file: &SqlFile) -> Explained {
    let source = file.table(&plan.source.table);
    let outputs = plan.outputs.iter();
    Explained {
        source: source::source(&plan.source, source),
        time: source::time(plan, source),
        outputs: outputs
            .clone()
            .map(|output| outputs::output(plan, output, file))
            .collect(),
        plans: outputs
            .flat_map(|output| plans::texts(plan.session(), output))
            .collect(),
    }
}
