//! Tokens of a statement → [`Statement`]. CREATE TABLE is read here (see [`super::create_table`]); every query
//! and expression is sqlparser's.

use datafusion::sql::sqlparser::ast::{Ident, ObjectName, ObjectNamePart, Query};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

use super::diagnostic::{Diagnostic, SourceText};
use super::dialect::StreamDialect;
use super::tokens::{self, StatementTokens};
use super::{Statement, ViewDef, create_table};

/// What sqlparser may nest; more than [`tokens::check_limits`] lets through.
const PARSER_RECURSION_LIMIT: usize = 128;

const ACCEPTED: &str = "CREATE TABLE … WITH (…), CREATE VIEW … AS SELECT …, INSERT INTO … SELECT … \
     and SELECT …";

/// A statement being read.
pub(super) struct Reader<'a> {
    pub source: &'a SourceText,
    pub tokens: &'a [TokenWithSpan],
    pub parser: Parser<'a>,
    /// Faults after which reading went on.
    pub faults: Vec<Diagnostic>,
}

/// Reads one statement.
///
/// # Errors
/// All of its faults; at least one.
pub(super) fn statement(
    source: &SourceText,
    tokens: &StatementTokens,
) -> Result<Statement, Vec<Diagnostic>> {
    tokens::check_limits(source, tokens).map_err(|fault| vec![fault])?;
    let dialect = StreamDialect::for_statement(tokens.len());
    let mut reader = Reader {
        source,
        tokens,
        parser: Parser::new(&dialect)
            .with_recursion_limit(PARSER_RECURSION_LIMIT)
            .with_tokens_with_locations(tokens.clone()),
        faults: Vec::new(),
    };
    let statement = reader.statement();
    let mut faults = reader.faults;
    match statement {
        Ok(statement) if faults.is_empty() => Ok(statement),
        Ok(_) => Err(faults),
        Err(fault) => {
            faults.push(fault);
            Err(faults)
        }
    }
}

impl Reader<'_> {
    fn statement(&mut self) -> Result<Statement, Diagnostic> {
        let first = self.parser.peek_token();
        let word = match &first.token {
            Token::Word(word) => word.keyword,
            Token::LParen => Keyword::SELECT,
            _ => Keyword::NoKeyword,
        };
        let statement = match word {
            Keyword::CREATE => self.create()?,
            Keyword::INSERT => self.insert()?,
            Keyword::SELECT | Keyword::WITH => self.query_statement()?,
            _ => {
                return Err(self
                    .source
                    .diagnostic(first.span, format!("{} is not accepted here", first.token))
                    .with_help(format!("a job is made of {ACCEPTED}")));
            }
        };
        let rest = self.parser.peek_token();
        match rest.token {
            Token::EOF => Ok(statement),
            _ => Err(self.expected("the end of the statement (;)")),
        }
    }

    fn create(&mut self) -> Result<Statement, Diagnostic> {
        self.parser.advance_token();
        let second = self.parser.next_token();
        match &second.token {
            Token::Word(word) if word.keyword == Keyword::TABLE => {
                create_table::create_table(self).map(Statement::CreateTable)
            }
            Token::Word(word) if word.keyword == Keyword::VIEW => {
                self.create_view().map(Statement::CreateView)
            }
            other => Err(self
                .source
                .diagnostic(second.span, format!("CREATE {other} is not accepted"))
                .with_help(format!("a job is made of {ACCEPTED}"))),
        }
    }

    fn create_view(&mut self) -> Result<ViewDef, Diagnostic> {
        let name = self.name("the view's name")?;
        if self.parser.peek_token_ref().token == Token::LParen {
            return Err(self
                .expected("AS")
                .with_help("name the view's columns in its SELECT: SELECT expression AS name"));
        }
        self.keyword(Keyword::AS)?;
        let query = self.query()?;
        Ok(ViewDef {
            name,
            query,
            span: tokens::span_of(self.tokens),
            canonical: tokens::canonical(self.tokens),
        })
    }

    fn insert(&mut self) -> Result<Statement, Diagnostic> {
        self.parser.advance_token();
        self.keyword(Keyword::INTO)?;
        let table = self.name("the table's name")?;
        let columns = if self.opens_column_list() {
            self.parser.advance_token();
            let columns = self
                .parser
                .parse_comma_separated(Parser::parse_identifier)
                .map_err(|error| self.fault(error))?;
            self.token(&Token::RParen)?;
            columns
        } else {
            Vec::new()
        };
        let first = self.parser.peek_token();
        if let Token::Word(word) = &first.token
            && word.keyword == Keyword::VALUES
        {
            return Err(self
                .source
                .diagnostic(first.span, "INSERT … VALUES is not accepted")
                .with_help("a job inserts what a SELECT gives: INSERT INTO … SELECT …"));
        }
        Ok(Statement::Insert {
            table,
            columns,
            query: self.query()?,
            span: tokens::span_of(self.tokens),
            canonical: tokens::canonical(self.tokens),
        })
    }

    /// Whether the parenthesis after the table's name opens a list of columns, not a query.
    fn opens_column_list(&self) -> bool {
        let [open, inner] = self.parser.peek_tokens_ref();
        let begins_query = match &inner.token {
            Token::Word(word) => matches!(word.keyword, Keyword::SELECT | Keyword::WITH),
            Token::LParen => true,
            _ => false,
        };
        open.token == Token::LParen && !begins_query
    }

    fn query_statement(&mut self) -> Result<Statement, Diagnostic> {
        Ok(Statement::Query {
            query: self.query()?,
            span: tokens::span_of(self.tokens),
            canonical: tokens::canonical(self.tokens),
        })
    }

    fn query(&mut self) -> Result<Box<Query>, Diagnostic> {
        self.parser.parse_query().map_err(|error| self.fault(error))
    }

    /// A table's or view's name: one identifier.
    pub fn name(&mut self, what: &str) -> Result<Ident, Diagnostic> {
        let start = self.parser.peek_token();
        if !matches!(start.token, Token::Word(_)) {
            return Err(self.expected(what));
        }
        let ObjectName(parts) = self
            .parser
            .parse_object_name(false)
            .map_err(|error| self.fault(error))?;
        match <[ObjectNamePart; 1]>::try_from(parts) {
            Ok([ObjectNamePart::Identifier(ident)]) => Ok(ident),
            _ => Err(self
                .source
                .diagnostic(start.span, "a name has no schema or catalog here")
                .with_help("write the last part only; a dot inside a name needs \"quotes\"")),
        }
    }

    pub fn keyword(&mut self, keyword: Keyword) -> Result<(), Diagnostic> {
        if self.parser.parse_keyword(keyword) {
            Ok(())
        } else {
            Err(self.expected(&format!("{keyword:?}")))
        }
    }

    pub fn token(&mut self, token: &Token) -> Result<(), Diagnostic> {
        if self.parser.consume_token(token) {
            Ok(())
        } else {
            Err(self.expected(&token.to_string()))
        }
    }

    /// `expected …, found …` at the next token.
    pub fn expected(&self, what: &str) -> Diagnostic {
        let found = self.parser.peek_token_ref();
        let message = format!("expected {what}, found {}", describe(&found.token));
        self.source.diagnostic(found.span, message)
    }

    /// sqlparser's fault, at its place.
    pub fn fault(&self, error: ParserError) -> Diagnostic {
        let (ParserError::ParserError(text) | ParserError::TokenizerError(text)) = &error else {
            let at = self.parser.peek_token_ref().span;
            return self.source.diagnostic(at, "nested too deeply");
        };
        let (message, at) = split_location(text);
        let span = at
            .and_then(|at| self.tokens.iter().find(|token| token.span.start == at))
            .or(self.tokens.last())
            .map_or(Span::empty(), |token| token.span);
        let message = tokens::lower_first(message)
            .replace(", found: EOF", ", found the end of the statement")
            .replacen("expected: ", "expected ", 1)
            .replacen(", found: ", ", found ", 1);
        self.source.diagnostic(span, message)
    }
}

/// The token as an error names it.
fn describe(token: &Token) -> String {
    match token {
        Token::EOF => "the end of the statement".to_owned(),
        // Deliberately: not the text, it may be a secret.
        Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) => "a string".to_owned(),
        other => other.to_string(),
    }
}

/// Cuts sqlparser's ` at Line: 3, Column: 7` off the end.
fn split_location(text: &str) -> (&str, Option<Location>) {
    let parse = || {
        let (message, place) = text.rsplit_once(" at Line: ")?;
        let (line, column) = place.split_once(", Column: ")?;
        let at = Location::new(line.trim().parse().ok()?, column.trim().parse().ok()?);
        Some((message, Some(at)))
    };
    parse().unwrap_or((text, None))
}
