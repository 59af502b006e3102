//! The text of a SQL file as an Arroyo cluster gets it: variables filled in, paths absolute, all else as it was
//! written; and the way back from a place in it to the place in the file.
//!
//! Deliberately not parsed as SQL: a cluster runs more than the local engine does.

use std::collections::BTreeSet;
use std::path::Path;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use super::diagnostic::{Diagnostic, Diagnostics, SourceText};
use super::dialect::StreamDialect;
use super::template::{PositionMap, after, render};
use super::{LARGEST_FILE_BYTES, tokens};

/// A cluster's position beyond this is not one in our text.
const FARTHEST: u64 = u32::MAX as u64;
/// Connectors whose `path` is a place of files, as a URL.
const FOLDERS: [&str; 2] = ["filesystem", "delta"];
/// The connector whose `path` is that of a file of the machine, without a scheme.
const SINGLE_FILE: &str = "single_file";

/// A SQL file for a cluster. `Debug` is deliberately missing: the text may hold secrets.
pub struct Submission {
    /// What is submitted.
    pub text: String,
    /// Names of the variables that the file has.
    pub variables: BTreeSet<String>,
    source: SourceText,
    map: PositionMap,
    changes: Vec<Change>,
}

/// A path that became another text.
struct Change {
    rendered: Span,
    submitted: Span,
}

impl Submission {
    /// Reads the text of a file. `path` is what errors name, `lookup` gives the variables' values, `folder` is what
    /// relative paths are relative to; it is absolute.
    ///
    /// # Errors
    /// Variables without a value, and what is not even a token.
    pub fn new(
        path: &str,
        text: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
        folder: &Path,
    ) -> Result<Submission, Diagnostics> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut source = SourceText::new(path, text);
        if text.len() > LARGEST_FILE_BYTES {
            let message = format!("the file is longer than {LARGEST_FILE_BYTES} bytes");
            return Err(source.diagnostic(Span::empty(), message).into());
        }
        let rendered = render(&source, text, lookup)?;
        // Hides the secrets of the excerpts, and finds what is not a token.
        if tokens::statements(&mut source, &rendered)?.is_empty() {
            let message = "the file has no statement";
            return Err(source.diagnostic(Span::empty(), message).into());
        }
        let found = Tokenizer::new(&StreamDialect::default(), &rendered.text)
            .tokenize_with_location()
            .unwrap_or_default();
        let (text, changes) = replaced(&rendered.text, relative_paths(&found, folder));
        Ok(Submission {
            text,
            variables: rendered.variables,
            source,
            map: rendered.map,
            changes,
        })
    }

    /// Whether the text says the same in the same words: comments and layout do not count.
    pub fn is_same(&self, other: &str) -> bool {
        let words = |text: &str| -> Option<Vec<Token>> {
            let tokens = Tokenizer::new(&StreamDialect::default(), text)
                .tokenize()
                .ok()?;
            let is_word = |token: &Token| !matches!(token, Token::Whitespace(_));
            Some(tokens.into_iter().filter(is_word).collect())
        };
        self.text == other || words(&self.text).is_some_and(|ours| words(other) == Some(ours))
    }

    /// A fault that the cluster found, by the place in what was submitted: first character and the one behind the
    /// last, line and column from 1. `None`: it named no place.
    pub fn diagnostic(&self, place: Option<[(u64, u64); 2]>, message: &str) -> Diagnostic {
        let span = place.map_or(Span::empty(), |[start, end]| {
            let [start, end] = [start, end]
                .map(|(line, column)| Location::new(line.min(FARTHEST), column.clamp(1, FARTHEST)));
            let rendered = Span::new(self.rendered(start, false), self.rendered(end, true));
            self.map.original(rendered)
        });
        self.source.diagnostic(span, message)
    }

    /// Where a place of the submitted text is in the rendered one.
    fn rendered(&self, at: Location, is_end: bool) -> Location {
        let before = (self.changes).partition_point(|change| change.submitted.start <= at);
        let Some(change) = before.checked_sub(1).map(|index| &self.changes[index]) else {
            return at;
        };
        let (from, to) = (change.submitted.end, change.rendered.end);
        match () {
            () if at < from && is_end => to,
            () if at < from => change.rendered.start,
            () if at.line == from.line => {
                Location::new(to.line, to.column + at.column - from.column)
            }
            () => Location::new(to.line + at.line - from.line, at.column),
        }
    }
}

/// The values of `path` options that are relative, with what stands there instead.
fn relative_paths(tokens: &[TokenWithSpan], folder: &Path) -> Vec<(Span, String)> {
    let tokens: Vec<&TokenWithSpan> = (tokens.iter())
        .filter(|token| !matches!(token.token, Token::Whitespace(_)))
        .collect();
    let mut changes = Vec::new();
    for statement in tokens.split(|token| token.token == Token::SemiColon) {
        let is_word = |index: usize, keyword| {
            let token = statement.get(index).map(|token| &token.token);
            matches!(token, Some(Token::Word(word)) if word.keyword == keyword)
        };
        if !is_word(0, Keyword::CREATE) {
            continue;
        }
        let with = (0..statement.len()).rfind(|index| {
            let opens = statement.get(index + 1).map(|next| &next.token);
            is_word(*index, Keyword::WITH) && opens == Some(&Token::LParen)
        });
        let options: Vec<(&str, &TokenWithSpan)> = statement[with.unwrap_or(statement.len())..]
            .windows(3)
            .filter(|three| three[1].token == Token::Eq)
            .filter_map(|three| Some((text(&three[0].token)?, three[2])))
            .collect();
        let option = |wanted: &str| {
            let mut options = options.iter();
            let found = options.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
            Some((text(&found.1.token)?, found.1.span))
        };
        let (Some((connector, _)), Some((path, span))) = (option("connector"), option("path"))
        else {
            continue;
        };
        let is_folder = FOLDERS.contains(&connector);
        let has_scheme = path.contains("://") || path.starts_with("file:");
        if has_scheme || path.starts_with('/') && !is_folder || path.trim().is_empty() {
            continue;
        }
        let scheme = match connector {
            SINGLE_FILE => "",
            _ if is_folder => "file://",
            _ => continue,
        };
        let absolute = folder.join(
            Path::new(path.trim())
                .strip_prefix(".")
                .unwrap_or(Path::new(path.trim())),
        );
        let value = format!("{scheme}{}", absolute.display());
        changes.push((span, format!("'{}'", value.replace('\'', "''"))));
    }
    changes
}

/// The text of a word or of a string.
fn text(token: &Token) -> Option<&str> {
    match token {
        Token::Word(word) => Some(&word.value),
        Token::SingleQuotedString(text) => Some(text),
        _ => None,
    }
}

/// The text with the spans, which are in order, replaced.
fn replaced(text: &str, replacements: Vec<(Span, String)>) -> (String, Vec<Change>) {
    let mut replacements = replacements.into_iter().peekable();
    let (mut out, mut changes) = (String::with_capacity(text.len()), Vec::new());
    let (mut at, mut out_at) = (Location::new(1, 1), Location::new(1, 1));
    let mut inside: Option<Location> = None;
    for c in text.chars() {
        if inside.is_some_and(|end| at >= end) {
            inside = None;
        }
        if let Some((span, value)) = replacements.next_if(|(span, _)| span.start == at) {
            let start = out_at;
            out_at = value.chars().fold(out_at, after);
            out.push_str(&value);
            changes.push(Change {
                rendered: span,
                submitted: Span::new(start, out_at),
            });
            inside = Some(span.end);
        }
        if inside.is_none() {
            out.push(c);
            out_at = after(out_at, c);
        }
        at = after(at, c);
    }
    (out, changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "CREATE TABLE t (a TEXT) WITH (connector = 'filesystem', type = 'sink', path = '{{ WHERE | data/it's }}', x = y);\n\
        SELECT {{ WHAT }} FROM t WITH (path = 'kept');\n\
        CREATE TABLE u (a TEXT) WITH ('path' = 'b.json', 'connector' = 'single_file', client_configs = 'a=secret') -- {{ no }}";

    fn submission(text: &str) -> Submission {
        let lookup = |name: &str| (name == "WHAT").then(|| "one,\ntwo".to_owned());
        Submission::new("job.sql", text, &lookup, Path::new("/home/me"))
            .unwrap_or_else(|faults| panic!("{faults}"))
    }

    fn place_of(text: &str, what: &str) -> [(u64, u64); 2] {
        let before = &text[..text.find(what).unwrap()];
        let line = before.matches('\n').count() as u64 + 1;
        let column = before.rsplit('\n').next().unwrap().len() as u64 + 1;
        [(line, column), (line, column + what.len() as u64)]
    }

    #[test]
    fn variables_are_filled_in_and_paths_are_absolute() {
        let text = submission(FILE).text;
        let paths = [
            "path = 'file:///home/me/data/it''s', x = y",
            "SELECT one,\ntwo FROM t WITH (path = 'kept')",
            "'path' = '/home/me/b.json'",
        ];
        for path in paths {
            assert!(text.contains(path), "{text}");
        }
    }

    #[test]
    fn what_has_a_scheme_or_is_absolute_stays() {
        for path in ["s3://bucket/a", "file:///a", "file:/a"] {
            let sql =
                format!("CREATE TABLE t (a TEXT) WITH (connector = 'filesystem', path = '{path}')");
            assert_eq!(submission(&sql).text, sql);
        }
        let sql = "CREATE TABLE t (a TEXT) WITH (connector = 'filesystem', path = '/a')";
        assert!(submission(sql).text.contains("'file:///a'"));
        let sql = "CREATE TABLE t (a TEXT) WITH (connector = 'kafka', path = 'a')";
        assert_eq!(submission(sql).text, sql);
        let sql = "CREATE TABLE t (a TEXT) WITH (connector = 'delta', path = './a')";
        assert!(submission(sql).text.contains("'file:///home/me/a'"));
    }

    #[test]
    fn a_place_in_what_is_submitted_is_found_in_the_file() {
        let submission = submission(FILE);
        let third_line = FILE.lines().nth(2).unwrap();
        for (what, line, column) in [
            ("CREATE TABLE t", 1, 1),
            (
                "'file:///home/me/data/it''s'",
                1,
                FILE.find("'{{ WHERE").unwrap() as u64 + 1,
            ),
            ("x = y", 1, FILE.find("x = y").unwrap() as u64 + 1),
            ("two FROM", 2, 8),
            (" FROM t", 2, 18),
            ("CREATE TABLE u", 3, 1),
            (
                "single_file",
                3,
                third_line.find("single_file").unwrap() as u64 + 1,
            ),
        ] {
            let place = place_of(&submission.text, what);
            let fault = submission.diagnostic(Some(place), "wrong");
            assert_eq!((fault.line, fault.column), (line, column), "{what}");
        }
    }

    #[test]
    fn a_fault_shows_the_line_as_it_was_written_without_secrets() {
        let submission = submission(FILE);
        let place = place_of(&submission.text, "client_configs");
        let shown = submission.diagnostic(Some(place), "wrong").to_string();
        assert!(shown.contains("client_configs = ***"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn comments_and_layout_make_no_other_text() {
        let submission = submission("SELECT 'a b' -- why\n  FROM t;");
        assert!(submission.is_same("/* because */ SELECT 'a b' FROM t;"));
        for other in [
            "SELECT 'a  b' FROM t;",
            "SELECT 'a b' FROM u;",
            "",
            "SELECT '",
        ] {
            assert!(!submission.is_same(other), "{other}");
        }
    }

    #[test]
    fn a_place_that_is_none_is_no_panic() {
        let submission = submission(FILE);
        for place in [
            [(0, 0), (0, 0)],
            [(u64::MAX, u64::MAX), (1, 1)],
            [(3, 0), (2, 9)],
            [(999, 1), (999, 2)],
        ] {
            let fault = submission.diagnostic(Some(place), "wrong");
            assert!(fault.to_string().contains("wrong"), "{place:?}");
        }
        assert_eq!(
            submission.diagnostic(None, "wrong").to_string(),
            "job.sql:1:1: wrong"
        );
    }
}
