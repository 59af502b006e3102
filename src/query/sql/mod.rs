//! The text of a SQL file → statements with positions. Nothing is planned here.
//!
//! [`SqlFile::parse`] replaces the variables (`template`), cuts the text into tokens that stand where the
//! file has them (`tokens`), and reads each statement by itself (`parser`, `create_table`, `with`), so that
//! all faults of a file are found at once. The dialect is Arroyo's.

mod connector;
mod create_table;
mod diagnostic;
mod dialect;
mod options;
mod parser;
mod submission;
mod table;
mod template;
mod tokens;
mod types;
mod with;

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::{Ident, Query};

use crate::config::secret::Secret;

pub use connector::{
    BadData, CommitMode, Connector, DecimalEncoding, DeltaSinkOptions, FilesystemSinkOptions,
    FrameFormat, KafkaSinkOptions, KafkaSourceOptions, ParquetCompression, PostgresSinkOptions,
    ReadMode, SaslOptions, SourceOffset, StaticFormat, StaticTableOptions, StdoutSinkOptions,
    StoreOptions, TimestampFormat, postgres_type,
};
pub use datafusion::sql::sqlparser::tokenizer::{Location, Span};
pub use diagnostic::{Diagnostic, Diagnostics, Excerpt, SourceText};
pub use submission::Submission;
pub use table::{ColumnDef, ColumnKind, METADATA, TableDef, WatermarkDef, sql_name};

/// A SQL file is at most this long.
const LARGEST_FILE_BYTES: usize = 1 << 20;

/// A statement of the file. Every position in it, the queries' too, is one in the file.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a file has a handful of them")]
pub enum Statement {
    /// `CREATE TABLE name (…) WITH (…)`
    CreateTable(TableDef),
    /// `CREATE VIEW name AS SELECT …`
    CreateView(ViewDef),
    /// `INSERT INTO table [(columns)] SELECT …`
    Insert {
        /// The sink.
        table: Ident,
        /// Columns of the sink that the query's go into, in order; empty: all of them.
        columns: Vec<Ident>,
        /// What is inserted.
        query: Box<Query>,
        /// The whole statement.
        span: Span,
        /// See [`Statement::canonical`].
        canonical: String,
    },
    /// `SELECT …`: rows to look at.
    Query {
        /// The query.
        query: Box<Query>,
        /// The whole statement.
        span: Span,
        /// See [`Statement::canonical`].
        canonical: String,
    },
}

/// `CREATE VIEW name AS SELECT …`
#[derive(Debug, Clone)]
pub struct ViewDef {
    /// Its name.
    pub name: Ident,
    /// What it stands for.
    pub query: Box<Query>,
    /// The whole statement.
    pub span: Span,
    canonical: String,
}

impl Statement {
    /// From the first word to the last, without the semicolon.
    pub fn span(&self) -> Span {
        match self {
            Statement::CreateTable(table) => table.span,
            Statement::CreateView(view) => view.span,
            Statement::Insert { span, .. } | Statement::Query { span, .. } => *span,
        }
    }

    /// The same text for every statement that means the same rows: without comments and layout, without
    /// secrets and addresses, and without options that change no row. For fingerprints.
    pub fn canonical(&self) -> &str {
        match self {
            Statement::CreateTable(table) => &table.canonical,
            Statement::CreateView(view) => &view.canonical,
            Statement::Insert { canonical, .. } | Statement::Query { canonical, .. } => canonical,
        }
    }

    /// What the statement is about, for a person: `table ohlc`, `view ticks`, `insert into ohlc`, `select`.
    pub fn label(&self) -> String {
        match self {
            Statement::CreateTable(table) => format!("table {}", table_name(&table.name)),
            Statement::CreateView(view) => format!("view {}", table_name(&view.name)),
            Statement::Insert { table, .. } => format!("insert into {}", table_name(table)),
            Statement::Query { .. } => "select".to_owned(),
        }
    }
}

/// The name by which queries find a table or view: as quoted, else in lower case.
pub fn table_name(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// A SQL file that could be read.
#[derive(Debug, Clone)]
pub struct SqlFile {
    /// The text, for errors with positions.
    pub source: SourceText,
    /// Its statements, in order; at least one.
    pub statements: Vec<Statement>,
    /// Names of the variables that it has.
    pub variables: BTreeSet<String>,
}

impl SqlFile {
    /// The declaration of a table, by the name that queries find it by.
    pub fn table(&self, name: &str) -> Option<&TableDef> {
        self.statements
            .iter()
            .find_map(|statement| match statement {
                Statement::CreateTable(table) if table_name(&table.name) == name => Some(table),
                _ => None,
            })
    }

    /// Sets the codec of Parquet files where the SQL names none.
    pub fn set_compression(&mut self, codec: ParquetCompression) {
        for statement in &mut self.statements {
            if let Statement::CreateTable(table) = statement
                && let Connector::FilesystemSink(files)
                | Connector::DeltaSink(DeltaSinkOptions { files }) = &mut table.connector
            {
                files.compression.get_or_insert(codec);
            }
        }
    }

    /// Says of PostgreSQL's tables what is said beside the SQL: the password where it has none, and whether tables that
    /// are not there are made.
    pub fn set_postgres(&mut self, password: Option<&Secret>, create_tables: bool) {
        for statement in &mut self.statements {
            if let Statement::CreateTable(table) = statement
                && let Connector::PostgresSink(options) = &mut table.connector
            {
                options.create_table = create_tables;
                if options.url.password.is_none() {
                    options.url.password = password.cloned();
                }
            }
        }
    }

    /// Declares the tables of another file before those of this one, but for those that this one declares itself.
    pub fn declare(&mut self, other: SqlFile) {
        let is_new = |statement: &Statement| match statement {
            Statement::CreateTable(table) => !self.declares(&table_name(&table.name)),
            _ => false,
        };
        let mut statements: Vec<Statement> = other.statements.into_iter().filter(is_new).collect();
        statements.append(&mut self.statements);
        self.statements = statements;
    }

    /// Whether a table or a view has this name.
    pub fn declares(&self, name: &str) -> bool {
        self.statements.iter().any(|statement| match statement {
            Statement::CreateTable(TableDef { name: declared, .. })
            | Statement::CreateView(ViewDef { name: declared, .. }) => table_name(declared) == name,
            _ => false,
        })
    }

    /// Reads the text of a file. `path` is what errors name; `lookup` gives the variables' values.
    ///
    /// # Errors
    /// All faults that could be found.
    pub fn parse(
        path: &str,
        text: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<SqlFile, Diagnostics> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut source = SourceText::new(path, text);
        let whole = Span::empty();
        if text.len() > LARGEST_FILE_BYTES {
            let message = format!("the file is longer than {LARGEST_FILE_BYTES} bytes");
            return Err(source.diagnostic(whole, message).into());
        }
        let rendered = template::render(&source, text, lookup)?;
        let tokens = tokens::statements(&mut source, &rendered)?;
        let mut statements = Vec::new();
        let mut faults = Vec::new();
        for tokens in &tokens {
            match parser::statement(&source, tokens) {
                Ok(statement) => statements.push(statement),
                Err(mut found) => faults.append(&mut found),
            }
        }
        check_names(&source, &statements, &mut faults);
        if statements.is_empty() && faults.is_empty() {
            faults.push(source.diagnostic(whole, "the file has no statement"));
        }
        if faults.is_empty() {
            Ok(SqlFile {
                source,
                statements,
                variables: rendered.variables,
            })
        } else {
            faults.sort_by_key(|fault| (fault.line, fault.column));
            Err(Diagnostics(faults))
        }
    }
}

/// Tables and views share their names.
fn check_names(source: &SourceText, statements: &[Statement], faults: &mut Vec<Diagnostic>) {
    let mut taken = BTreeSet::new();
    for statement in statements {
        let (Statement::CreateTable(TableDef { name, .. })
        | Statement::CreateView(ViewDef { name, .. })) = statement
        else {
            continue;
        };
        if !taken.insert(table_name(name)) {
            let message = format!("there is already a table or view \"{}\"", table_name(name));
            faults.push(source.diagnostic(name.span, message));
        }
    }
}

#[cfg(test)]
mod tests;
