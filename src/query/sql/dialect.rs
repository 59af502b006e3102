//! How the text is cut into tokens and which operators bind first: PostgreSQL's rules with angle-bracket
//! structs, as in Arroyo, so that a file means the same to both engines.

use std::any::TypeId;
use std::cell::Cell;

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

/// How often the parser may begin an expression for each token of a statement. Usual SQL takes about 2;
/// where it goes back and tries again, nesting doubles the work with each level.
const TRIES_PER_TOKEN: usize = 100;

/// Arroyo's dialect: PostgreSQL's and `STRUCT<…>`.
#[derive(Debug, Default)]
pub(super) struct StreamDialect {
    /// How often the parser may still begin an expression.
    tries_left: Cell<usize>,
}

impl StreamDialect {
    /// The dialect for one statement of so many tokens.
    pub fn for_statement(tokens: usize) -> StreamDialect {
        StreamDialect {
            tries_left: Cell::new(tokens.saturating_mul(TRIES_PER_TOKEN)),
        }
    }
}

const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

/// Answers as PostgreSQL's dialect does.
macro_rules! as_postgres {
    ($($method:ident),* $(,)?) => {
        $(fn $method(&self) -> bool {
            POSTGRES.$method()
        })*
    };
}

impl Dialect for StreamDialect {
    /// sqlparser asks for the type where it has no method to ask.
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        POSTGRES.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, c: char) -> bool {
        POSTGRES.is_delimited_identifier_start(c)
    }

    fn is_identifier_start(&self, c: char) -> bool {
        c.is_alphabetic() || c == '_'
    }

    fn is_identifier_part(&self, c: char) -> bool {
        c.is_alphabetic() || c.is_ascii_digit() || c == '$' || c == '_'
    }

    fn is_custom_operator_part(&self, c: char) -> bool {
        POSTGRES.is_custom_operator_part(c)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        POSTGRES.is_reserved_for_identifier(keyword)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        POSTGRES.get_next_precedence(parser)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        POSTGRES.prec_value(precedence)
    }

    /// Never parses anything: it ends the parser's work when it takes too long. The parser passes this
    /// error on where it tries again after others.
    fn parse_prefix(&self, _: &mut Parser) -> Option<Result<Expr, ParserError>> {
        match self.tries_left.get().checked_sub(1) {
            Some(left) => {
                self.tries_left.set(left);
                None
            }
            None => Some(Err(ParserError::RecursionLimitExceeded)),
        }
    }

    fn supports_struct_literal(&self) -> bool {
        true
    }

    as_postgres!(
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_array_typedef_with_brackets,
        supports_bitwise_shift_operators,
        supports_comma_separated_trim,
        supports_empty_projections,
        supports_factorial_operator,
        supports_filter_during_aggregation,
        supports_geometric_types,
        supports_group_by_expr,
        supports_interval_options,
        supports_nested_comments,
        supports_notnull_operator,
        supports_numeric_literal_underscores,
        supports_string_escape_constant,
        supports_unicode_string_literal,
    );
}
