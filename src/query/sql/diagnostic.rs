//! A fault of a SQL file, with its place: `sql/ohlc.sql:14:9: …`, the line, a caret, and what to do.

use std::fmt;

use datafusion::sql::sqlparser::tokenizer::{Location, Span};

/// What stands in an error for a value that must not be shown.
const HIDDEN: &str = "***";

/// A longer line is not shown.
const LONGEST_EXCERPT_BYTES: usize = 500;

/// Words of a line that may hold a secret; it is not shown when it could not be read as SQL.
const SECRET_WORDS: [&str; 9] = [
    "password",
    "secret",
    "client_configs",
    "auth.",
    "api_key",
    "token",
    "sasl",
    "postgres://",
    "postgresql://",
];

/// One fault of a SQL file.
///
/// `Display` gives the place and the message, then the line with a caret under the fault, then the help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Path of the file, as it was given.
    pub path: String,
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
    /// What is wrong.
    pub message: String,
    /// What the user can do.
    pub help: Option<String>,
    /// The line of the file with secrets hidden, and where in it the caret goes.
    pub excerpt: Option<Box<Excerpt>>,
}

/// The line that a [`Diagnostic`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The line, without its end; secrets are `***`.
    pub text: String,
    /// Characters before the caret.
    pub caret_start: usize,
    /// Carets, at least 1.
    pub caret_len: usize,
}

impl Diagnostic {
    /// Adds what the user can do.
    pub fn with_help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// Adds `did you mean "…"?` when there is a near name, else `otherwise` if there is any.
    pub fn with_nearest<'a>(
        self,
        wanted: &str,
        known: impl IntoIterator<Item = &'a str>,
        otherwise: Option<String>,
    ) -> Diagnostic {
        match (crate::model::nearest(wanted, known), otherwise) {
            (Some(near), _) => self.with_help(format!("did you mean \"{near}\"?")),
            (None, Some(otherwise)) => self.with_help(otherwise),
            (None, None) => self,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}",
            self.path, self.line, self.column, self.message
        )?;
        if let Some(excerpt) = &self.excerpt {
            // Tabs stay tabs, so that the caret stands under its character however wide they are.
            let padding: String = excerpt
                .text
                .chars()
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .chain(std::iter::repeat(' '))
                .take(excerpt.caret_start)
                .collect();
            let number = self.line.to_string();
            write!(f, "\n  {number} | {}", excerpt.text)?;
            write!(f, "\n  {:1$} | ", "", number.len())?;
            write!(f, "{padding}{}", "^".repeat(excerpt.caret_len))?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// Every fault that was found in a SQL file, in the order of the file.
///
/// Invariant: there is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Diagnostics {
        Diagnostics(vec![diagnostic])
    }
}

/// The text of a SQL file as it was written, which every position refers to.
#[derive(Clone)]
pub struct SourceText {
    path: String,
    lines: Vec<String>,
    /// Where secrets stand; `None`: not known, because the text could not be read.
    secrets: Option<Vec<Span>>,
}

impl fmt::Debug for SourceText {
    /// Deliberately: not the text, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceText({})", self.path)
    }
}

impl SourceText {
    pub(super) fn new(path: &str, text: &str) -> SourceText {
        SourceText {
            path: path.to_owned(),
            lines: text
                .split('\n')
                .map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned())
                .collect(),
            secrets: None,
        }
    }

    pub(super) fn hide(&mut self, secrets: Vec<Span>) {
        self.secrets = Some(secrets);
    }

    /// Path of the file, as it was given.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The whole text as it was written, with secrets hidden; a line that may hold one that is not known for sure is
    /// left out.
    pub fn shown(&self) -> String {
        let lines = (1..).zip(&self.lines).map(|(number, line)| {
            let whole = Span::new(Location::new(number, 1), Location::new(number + 1, 1));
            match &self.secrets {
                Some(secrets) => {
                    let here = secrets
                        .iter()
                        .filter(|secret| (secret.start.line..=secret.end.line).contains(&number));
                    let here: Vec<Span> = here.copied().collect();
                    cut(line, whole, &here).text
                }
                None if self.may_hold_secret(number as usize - 1) => HIDDEN.to_owned(),
                None => line.clone(),
            }
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// A fault at `span`. An empty span is one of the file as a whole and stands at its beginning.
    pub fn diagnostic(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        let line = span.start.line.max(1);
        let column = span.start.column.max(1);
        Diagnostic {
            path: self.path.clone(),
            line,
            column,
            message: message.into(),
            help: None,
            excerpt: (span.start.line > 0)
                .then(|| self.excerpt(span))
                .flatten()
                .map(Box::new),
        }
    }

    fn excerpt(&self, span: Span) -> Option<Excerpt> {
        let index = usize::try_from(span.start.line).ok()?.checked_sub(1)?;
        let line = self.lines.get(index)?;
        if line.len() > LONGEST_EXCERPT_BYTES {
            return None;
        }
        let Some(secrets) = &self.secrets else {
            return (!self.may_hold_secret(index)).then(|| cut(line, span, &[]));
        };
        let hidden: Vec<Span> = secrets
            .iter()
            .filter(|secret| (secret.start.line..=secret.end.line).contains(&span.start.line))
            .copied()
            .collect();
        Some(cut(line, span, &hidden))
    }

    /// The text could not be read as SQL, so go by words, on this line and the one before.
    fn may_hold_secret(&self, index: usize) -> bool {
        self.lines[index.saturating_sub(1)..=index]
            .iter()
            .map(|line| line.to_lowercase())
            .any(|line| SECRET_WORDS.iter().any(|word| line.contains(word)))
    }
}

/// The line with the `hidden` spans replaced, and the caret moved accordingly.
fn cut(line: &str, span: Span, hidden: &[Span]) -> Excerpt {
    let number = span.start.line;
    let is_hidden = |column: u64| {
        let at = Location::new(number, column);
        hidden.iter().any(|h| h.start <= at && at < h.end)
    };
    let end = if span.end.line > number {
        u64::MAX
    } else {
        span.end.column.max(span.start.column + 1)
    };
    let (mut text, mut caret_start, mut caret_len) = (String::new(), 0, 0);
    let mut hiding = false;
    for (column, c) in (1..).zip(line.chars()) {
        let was_hiding = std::mem::replace(&mut hiding, is_hidden(column));
        let width = match (was_hiding, hiding) {
            (true, true) => 0,
            (false, true) => HIDDEN.len(),
            (_, false) => 1,
        };
        match width {
            0 => {}
            1 => text.push(c),
            _ => text.push_str(HIDDEN),
        }
        if column < span.start.column {
            caret_start += width;
        } else if column < end {
            caret_len += width;
        }
    }
    Excerpt {
        text,
        caret_start,
        caret_len: caret_len.max(1),
    }
}
