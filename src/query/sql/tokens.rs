//! The rendered text → tokens that stand where the file has them, cut into statements.

use datafusion::sql::sqlparser::keywords::{ALL_KEYWORDS, Keyword};
use datafusion::sql::sqlparser::tokenizer::{
    Location, Span, Token, TokenWithSpan, Tokenizer, Word,
};

use super::diagnostic::{Diagnostic, SourceText};
use super::dialect::StreamDialect;
use super::template::Rendered;

/// Operators and keywords in a statement at most. A chain of operators becomes a tree of that depth, so
/// this bounds the stack that walking and dropping it takes.
const MOST_OPERATORS: usize = 3_000;
/// Parentheses and brackets within each other at most; the parser's time may double with each.
const DEEPEST_NESTING: usize = 32;

/// Tokens of one statement, without its semicolon. The last is [`Token::EOF`], where the statement ends.
pub(super) type StatementTokens = Vec<TokenWithSpan>;

/// Cuts the text into statements, whose tokens stand where the file has them.
///
/// # Errors
/// What is not even a token: a string or a comment without an end.
pub(super) fn statements(
    source: &mut SourceText,
    rendered: &Rendered,
) -> Result<Vec<StatementTokens>, Diagnostic> {
    let mut tokens = Tokenizer::new(&StreamDialect, &rendered.text)
        .tokenize_with_location()
        .map_err(|error| {
            let at = rendered.map.original(point(error.location));
            source.diagnostic(at, lower_first(&error.message))
        })?;
    for token in &mut tokens {
        token.span = rendered.map.original(token.span);
    }
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
    let solid = |token: &TokenWithSpan| !matches!(token.token, Token::Whitespace(_));
    let Some(first) = tokens.iter().position(solid) else {
        return;
    };
    tokens.drain(..first);
    while tokens.last().is_some_and(|last| !solid(last)) {
        tokens.pop();
    }
    tokens.push(TokenWithSpan::new(Token::EOF, end));
    statements.push(tokens);
}

/// From the first token's start to the last one's end.
pub(super) fn span_of(tokens: &[TokenWithSpan]) -> Span {
    tokens
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
        .fold(Span::empty(), |span, token| span.union(&token.span))
}

/// The one character at a place.
pub(super) fn point(at: Location) -> Span {
    Span::new(at, Location::new(at.line, at.column + 1))
}

/// Refuses what would take too much stack or time to parse.
pub(super) fn check_limits(
    source: &SourceText,
    tokens: &[TokenWithSpan],
) -> Result<(), Diagnostic> {
    let (mut depth, mut angles, mut operators) = (0_usize, 0_usize, 0_usize);
    let mut opens_type = false;
    for token in tokens {
        let mut is_type_word = false;
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            Token::Lt if opens_type => angles += 1,
            closing if angles > 0 && closing_angles(closing) > 0 => {
                angles = angles.saturating_sub(closing_angles(closing));
            }
            Token::Word(Word { keyword, .. }) if *keyword != Keyword::NoKeyword => {
                is_type_word = matches!(keyword, Keyword::ARRAY | Keyword::STRUCT | Keyword::MAP);
                operators += 1;
            }
            Token::Word(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Whitespace(_)
            | Token::Comma
            | Token::Period => {}
            _ => operators += 1,
        }
        if !matches!(token.token, Token::Whitespace(_)) {
            opens_type = is_type_word;
        }
        if depth + angles > DEEPEST_NESTING {
            return Err(source.diagnostic(
                token.span,
                format!("nested more than {DEEPEST_NESTING} levels deep"),
            ));
        }
        if operators > MOST_OPERATORS {
            return Err(source
                .diagnostic(
                    token.span,
                    format!("more than {MOST_OPERATORS} operators and keywords in one statement"),
                )
                .with_help(
                    "an IN list may be as long as it likes; or split the statement into views",
                ));
        }
    }
    Ok(())
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
            Token::Whitespace(_) | Token::EOF => continue,
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

/// Where the values of secret options stand: a string soon after such an option's name.
fn secrets(tokens: &[TokenWithSpan]) -> Vec<Span> {
    /// `= E'…'` or a forgotten `=`, not the next option.
    const TOKENS_AWAY: usize = 2;
    let solid: Vec<&TokenWithSpan> = tokens
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_)))
        .collect();
    let mut found = Vec::new();
    for (index, token) in solid.iter().enumerate() {
        let name = match &token.token {
            Token::Word(word) => &word.value,
            Token::SingleQuotedString(value) => value,
            _ => continue,
        };
        if super::options::is_secret(name) {
            found.extend(
                solid[index + 1..]
                    .iter()
                    .take(TOKENS_AWAY)
                    .take_while(|next| next.token != Token::Comma)
                    .filter(|next| !matches!(next.token, Token::Eq))
                    .map(|next| next.span),
            );
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
