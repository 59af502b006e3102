//! Tests of the whole way from text to statements.

mod accepted;
mod delta;
mod kafka_sink;
mod options;
mod postgres;
mod refused;
mod robust;

use expect_test::Expect;

use super::*;

const OHLC: &str = include_str!("../../../../sql/ohlc.sql");
const CONNECTOR: &str = "connector = 'kafka', type = 'source', bootstrap_servers = 'b:1', topic = 't', \
     format = 'json'";

fn no_variable(_: &str) -> Option<String> {
    None
}

fn parse(text: &str) -> Result<SqlFile, Diagnostics> {
    SqlFile::parse("job.sql", text, &no_variable)
}

fn check_faults(text: &str, expected: Expect) {
    expected.assert_eq(&parse(text).map(|_| ()).unwrap_err().to_string());
}

fn source(columns: &str) -> String {
    format!("CREATE TABLE s ({columns}) WITH ({CONNECTOR})")
}

fn source_with(options: &str) -> String {
    format!("CREATE TABLE s (a TEXT)\nWITH ({CONNECTOR},\n{options})")
}

fn sink_with(options: &str) -> String {
    format!(
        "CREATE TABLE s (a TEXT)\nWITH (connector = 'filesystem', type = 'sink', format = 'parquet',\n\
         {options})"
    )
}

/// The first statement, which must be a table.
fn table(text: &str) -> TableDef {
    match parse(text).expect("accepted").statements.remove(0) {
        Statement::CreateTable(table) => table,
        other => panic!("{other:?}"),
    }
}

fn check_type(sql_type: &str, expected: Expect) {
    let column = &table(&source(&format!("c {sql_type}"))).columns[0];
    expected.assert_eq(&format!("{}", column.data_type));
}
