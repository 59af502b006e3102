//! Variables of a SQL file: `{{ NAME }}` and `{{ NAME | default }}`, replaced before anything is read as
//! SQL, and the way back from a place in the result to the place in the file.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::tokenizer::{Location, Span};

use super::diagnostic::{Diagnostic, Diagnostics, SourceText};

/// A file's text with its variables replaced.
pub(super) struct Rendered {
    pub text: String,
    pub map: PositionMap,
    /// Names of the variables that the file has.
    pub variables: BTreeSet<String>,
}

/// From places in the rendered text to places in the file.
///
/// Invariant: segments are in the order of the rendered text, and the first begins at 1:1.
pub(super) struct PositionMap {
    segments: Vec<Segment>,
}

struct Segment {
    rendered: Location,
    original: Location,
    /// A variable's value: all of it is at `original`, and its end is at this place.
    value_until: Option<Location>,
}

impl PositionMap {
    /// Where the characters of `span` stand in the file; a variable's value stands at its braces.
    pub fn original(&self, span: Span) -> Span {
        if span.start.line == 0 {
            return span;
        }
        let start = self.place(span.start, false);
        Span::new(start, self.place(span.end, true).max(start))
    }

    fn place(&self, at: Location, is_end: bool) -> Location {
        let after = self.segments.partition_point(|segment| {
            if is_end {
                segment.rendered < at
            } else {
                segment.rendered <= at
            }
        });
        let Some(segment) = after.checked_sub(1).and_then(|i| self.segments.get(i)) else {
            return at;
        };
        match segment.value_until {
            Some(end) if is_end => end,
            Some(_) => segment.original,
            None if at.line == segment.rendered.line => Location::new(
                segment.original.line,
                segment.original.column + (at.column - segment.rendered.column),
            ),
            None => Location::new(
                segment.original.line + (at.line - segment.rendered.line),
                at.column,
            ),
        }
    }
}

/// What the scanner stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Code,
    LineComment,
    BlockComment { depth: usize },
    Quotes(char),
}

/// Replaces the variables of `text`, everywhere but in comments. A value inside quotes has its quotes
/// doubled, so that it cannot end the string.
///
/// # Errors
/// Every variable without a value, and every `{{` that is not a variable.
pub(super) fn render(
    source: &SourceText,
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Rendered, Diagnostics> {
    let mut scanner = Scanner {
        source,
        rest: text,
        at: Location::new(1, 1),
        inside: Inside::Code,
        out: String::with_capacity(text.len()),
        out_at: Location::new(1, 1),
        segments: vec![Segment {
            rendered: Location::new(1, 1),
            original: Location::new(1, 1),
            value_until: None,
        }],
        variables: BTreeSet::new(),
        faults: Vec::new(),
    };
    while !scanner.rest.is_empty() {
        scanner.step(lookup);
    }
    if scanner.faults.is_empty() {
        Ok(Rendered {
            text: scanner.out,
            map: PositionMap {
                segments: scanner.segments,
            },
            variables: scanner.variables,
        })
    } else {
        Err(Diagnostics(scanner.faults))
    }
}

struct Scanner<'a> {
    source: &'a SourceText,
    rest: &'a str,
    at: Location,
    inside: Inside,
    out: String,
    out_at: Location,
    segments: Vec<Segment>,
    variables: BTreeSet<String>,
    faults: Vec<Diagnostic>,
}

impl Scanner<'_> {
    fn step(&mut self, lookup: &dyn Fn(&str) -> Option<String>) {
        let pair = {
            let mut chars = self.rest.chars();
            (chars.next(), chars.next())
        };
        match (self.inside, pair) {
            (Inside::Code | Inside::Quotes(_), (Some('{'), Some('{'))) => {
                return self.variable(lookup);
            }
            (Inside::Code, (Some('-'), Some('-'))) => self.inside = Inside::LineComment,
            (Inside::LineComment, (Some('\n'), _)) => self.inside = Inside::Code,
            (Inside::Code, (Some('/'), Some('*'))) => {
                self.inside = Inside::BlockComment { depth: 1 };
                return self.copy(2);
            }
            (Inside::BlockComment { depth }, (Some('/'), Some('*'))) => {
                self.inside = Inside::BlockComment { depth: depth + 1 };
                return self.copy(2);
            }
            (Inside::BlockComment { depth }, (Some('*'), Some('/'))) => {
                self.inside = match depth {
                    1 => Inside::Code,
                    _ => Inside::BlockComment { depth: depth - 1 },
                };
                return self.copy(2);
            }
            (Inside::Code, (Some(quote @ ('\'' | '"')), _)) => self.inside = Inside::Quotes(quote),
            (Inside::Quotes(quote), (Some(c), _)) if c == quote => self.inside = Inside::Code,
            _ => {}
        }
        self.copy(1);
    }

    /// Copies `count` characters as they are.
    fn copy(&mut self, count: usize) {
        for c in self.rest.chars().take(count) {
            self.out.push(c);
            self.at = after(self.at, c);
            self.out_at = after(self.out_at, c);
        }
        self.skip_rest(count);
    }

    fn skip_rest(&mut self, count: usize) {
        let bytes: usize = self.rest.chars().take(count).map(char::len_utf8).sum();
        self.rest = &self.rest[bytes..];
    }

    /// Replaces the variable that begins here.
    fn variable(&mut self, lookup: &dyn Fn(&str) -> Option<String>) {
        let start = self.at;
        let line = self.rest.lines().next().unwrap_or_default();
        let Some(length) = line.find("}}") else {
            self.fault(
                start,
                2,
                "a variable is not closed".to_owned(),
                "write {{ NAME }} or {{ NAME | default }} on one line",
            );
            return self.copy(2);
        };
        let inner = &line[2..length];
        let width = inner.chars().count() + 4;
        let (name, default) = match inner.split_once('|') {
            Some((name, default)) => (name.trim(), Some(default.trim())),
            None => (inner.trim(), None),
        };
        if !is_variable_name(name) {
            self.fault(
                start,
                width,
                format!("\"{name}\" is not a variable's name"),
                "a name is letters, digits and _, and does not begin with a digit",
            );
            return self.copy(width);
        }
        self.variables.insert(name.to_owned());
        let Some(value) = lookup(name).or_else(|| default.map(str::to_owned)) else {
            self.fault(start, width, format!("the variable {name} has no value"), &format!("give it with --conf spark.stockpulse.var.{name}=…, in the environment or in .env, or write a default: {{{{ {name} | … }}}}"));
            return self.copy(width);
        };
        self.skip_rest(width);
        self.at.column += width as u64;
        self.push_value(start, &value);
    }

    fn push_value(&mut self, start: Location, value: &str) {
        self.segments.push(Segment {
            rendered: self.out_at,
            original: start,
            value_until: Some(self.at),
        });
        for c in value.chars() {
            let copies = if self.inside == Inside::Quotes(c) {
                2
            } else {
                1
            };
            for _ in 0..copies {
                self.out.push(c);
                self.out_at = after(self.out_at, c);
            }
        }
        self.segments.push(Segment {
            rendered: self.out_at,
            original: self.at,
            value_until: None,
        });
    }

    fn fault(&mut self, start: Location, width: usize, message: String, help: &str) {
        let end = Location::new(start.line, start.column + width as u64);
        let fault = self.source.diagnostic(Span::new(start, end), message);
        self.faults.push(fault.with_help(help));
    }
}

/// Where the character after `c` stands, as sqlparser's tokenizer counts.
pub(super) fn after(at: Location, c: char) -> Location {
    match c {
        '\n' => Location::new(at.line + 1, 1),
        _ => Location::new(at.line, at.column + 1),
    }
}

fn is_variable_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
