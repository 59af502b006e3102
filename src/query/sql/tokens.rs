//! The rendered text → tokens that stand where the file has them, cut into statements.

use datafusion::sql::sqlparser::keywords::{ALL_KEYWORDS, Keyword};
use datafusion::sql::sqlparser::tokenizer::{
    Location, Span, Token, TokenWithSpan, Tokenizer, Word,
};

use super::diagnostic::{Diagnostic, SourceText};
use super::dialect::StreamDialect;
use super::template::Rendered;

/// Operators one after the other at most. A chain becomes a tree of that depth, so this bounds the stack
/// that showing, copying and dropping it takes.
const LONGEST_CHAIN: usize = 500;
/// UNION, EXCEPT and INTERSECT in a statement at most; they chain too.
const MOST_SET_OPERATIONS: usize = 100;
/// Parentheses, brackets and CASEs within each other at most.
const DEEPEST_NESTING: usize = 32;

/// Tokens of one statement, without white space, comments and its semicolon. The last is [`Token::EOF`], where the statement ends.
pub(super) type StatementTokens = Vec<TokenWithSpan>;

/// Cuts the text into statements, whose tokens stand where the file has them.
///
/// # Errors
/// What is not even a token: a string or a comment without an end.
pub(super) fn statements(
    source: &mut SourceText,
    rendered: &Rendered,
) -> Result<Vec<StatementTokens>, Diagnostic> {
    let mut tokens = Tokenizer::new(&StreamDialect::default(), &rendered.text)
        .tokenize_with_location()
        .map_err(|error| {
            let at = rendered.map.original(point(error.location));
            source.diagnostic(at, lower_first(&error.message))
        })?;
    for token in &mut tokens {
        token.span = rendered.map.original(token.span);
    }
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    source.hide(secrets(&tokens));
    let mut statements = Vec::new();
    let mut current = Vec::new();
    for token in tokens {
        match token.token {
            Token::SemiColon => push(&mut statements, std::mem::take(&mut current), token.span),
            _ => current.push(token),
        }
    }
    let end = current.last().map_or(Span::empty(), |last| last.span);
    push(&mut statements, current, point(end.end));
    Ok(statements)
}

fn push(statements: &mut Vec<StatementTokens>, mut tokens: StatementTokens, end: Span) {
    if !tokens.is_empty() {
        tokens.push(TokenWithSpan::new(Token::EOF, end));
        statements.push(tokens);
    }
}

/// From the first token's start to the last one's end.
pub(super) fn span_of(tokens: &[TokenWithSpan]) -> Span {
    tokens
        .iter()
        .filter(|token| token.token != Token::EOF)
        .fold(Span::empty(), |span, token| span.union(&token.span))
}

/// The one character at a place.
pub(super) fn point(at: Location) -> Span {
    Span::new(at, Location::new(at.line, at.column + 1))
}

/// Refuses what would take too much stack, whatever the parser would make of it.
pub(super) fn check_limits(
    source: &SourceText,
    tokens: &[TokenWithSpan],
) -> Result<(), Diagnostic> {
    let mut shape = Shape::default();
    for token in tokens {
        shape.add(&token.token);
        let depth = shape.chains.len() + shape.angles;
        let fault = if depth > DEEPEST_NESTING {
            format!("nested more than {DEEPEST_NESTING} levels deep")
        } else if shape.chained > LONGEST_CHAIN {
            format!("more than {LONGEST_CHAIN} operators in one expression")
        } else if shape.set_operations > MOST_SET_OPERATIONS {
            format!("more than {MOST_SET_OPERATIONS} UNIONs in one statement")
        } else {
            continue;
        };
        return Err(source.diagnostic(token.span, fault).with_help(
            "x IN (…) may be as long as it likes; otherwise split the statement into views",
        ));
    }
    Ok(())
}

/// How deep the tree of the tokens so far can be.
#[derive(Default)]
struct Shape {
    /// Operators since the last comma, for each parenthesis, bracket and CASE that is open.
    chains: Vec<usize>,
    /// The same outside of all of them.
    outermost: usize,
    /// Sum of `chains` and `outermost`.
    chained: usize,
    /// Open `<` of types.
    angles: usize,
    set_operations: usize,
    /// Whether the last token makes a `<` one of a type.
    is_type_word: bool,
}

impl Shape {
    fn add(&mut self, token: &Token) {
        let was_type_word = std::mem::take(&mut self.is_type_word);
        match token {
            Token::LParen | Token::LBrace => self.chains.push(0),
            Token::LBracket => {
                // `INT[][]` chains.
                self.add_operator();
                self.chains.push(0);
            }
            Token::RParen | Token::RBracket | Token::RBrace => self.close(),
            Token::Comma => self.end_chain(),
            Token::Word(word) => self.add_keyword(word.keyword),
            Token::Lt if was_type_word => self.angles += 1,
            closing if self.angles > 0 && closing_angles(closing) > 0 => {
                self.angles = self.angles.saturating_sub(closing_angles(closing));
            }
            Token::Number(..) | Token::SingleQuotedString(_) | Token::Period | Token::EOF => {}
            _ => self.add_operator(),
        }
    }

    fn add_keyword(&mut self, keyword: Keyword) {
        match keyword {
            Keyword::ARRAY | Keyword::STRUCT | Keyword::MAP => self.is_type_word = true,
            Keyword::CASE => self.chains.push(0),
            Keyword::END => self.close(),
            Keyword::SELECT
            | Keyword::WHERE
            | Keyword::GROUP
            | Keyword::HAVING
            | Keyword::ORDER
            | Keyword::WHEN
            | Keyword::THEN
            | Keyword::ELSE
            | Keyword::ON => self.end_chain(),
            Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => self.set_operations += 1,
            Keyword::AND
            | Keyword::OR
            | Keyword::XOR
            | Keyword::NOT
            | Keyword::IS
            | Keyword::IN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::SIMILAR
            | Keyword::BETWEEN
            | Keyword::NOTNULL
            | Keyword::COLLATE
            | Keyword::AT
            | Keyword::OVERLAPS
            | Keyword::REGEXP
            | Keyword::RLIKE
            | Keyword::DIV
            | Keyword::MEMBER
            | Keyword::OPERATOR => self.add_operator(),
            _ => {}
        }
    }

    fn add_operator(&mut self) {
        *self.chains.last_mut().unwrap_or(&mut self.outermost) += 1;
        self.chained += 1;
    }

    fn end_chain(&mut self) {
        self.chained -= std::mem::take(self.chains.last_mut().unwrap_or(&mut self.outermost));
    }

    fn close(&mut self) {
        self.chained -= self.chains.pop().unwrap_or_default();
    }
}

/// How many `>` the token is made of; 0 if of anything else.
pub(super) fn closing_angles(token: &Token) -> usize {
    match token {
        Token::Gt => 1,
        Token::ShiftRight => 2,
        Token::CustomBinaryOperator(operator) if operator.bytes().all(|b| b == b'>') => {
            operator.len()
        }
        _ => 0,
    }
}

/// The same text for every layout, comment and case of unquoted words.
pub(super) fn canonical(tokens: &[TokenWithSpan]) -> String {
    let mut text = String::new();
    for token in tokens {
        let piece = match &token.token {
            Token::EOF => continue,
            Token::Word(word) => canonical_word(word),
            Token::SingleQuotedString(value) => format!("'{}'", value.replace('\'', "''")),
            other => other.to_string(),
        };
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&piece);
    }
    text
}

fn canonical_word(word: &Word) -> String {
    let plain = word
        .value
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !word.value.starts_with(|c: char| c.is_ascii_digit())
        && !word.value.is_empty();
    match word.quote_style {
        None => word.value.to_lowercase(),
        Some(_) if plain && !is_keyword(&word.value) => word.value.clone(),
        Some(_) => format!("\"{}\"", word.value.replace('"', "\"\"")),
    }
}

fn is_keyword(word: &str) -> bool {
    ALL_KEYWORDS
        .binary_search(&word.to_uppercase().as_str())
        .is_ok()
}

/// Where the values of secret options stand: what follows such an option's name, up to a comma; and URLs with a login.
fn secrets(tokens: &[TokenWithSpan]) -> Vec<Span> {
    /// Of this many tokens after the name any may be the value, later ones only if they are strings.
    const NEAR: usize = 2;
    const FAR: usize = 8;
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let name = match &token.token {
            Token::Word(word) => &word.value,
            Token::SingleQuotedString(value) if super::options::has_login(value) => {
                found.push(token.span);
                continue;
            }
            Token::SingleQuotedString(value) => value,
            _ => continue,
        };
        if !super::options::is_secret(name) {
            continue;
        }
        for (distance, next) in tokens[index + 1..].iter().take(FAR).enumerate() {
            match &next.token {
                Token::Comma | Token::RParen => break,
                Token::Eq => {}
                Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) => {
                    found.push(next.span)
                }
                _ if distance < NEAR => found.push(next.span),
                _ => {}
            }
        }
    }
    found
}

pub(super) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}
