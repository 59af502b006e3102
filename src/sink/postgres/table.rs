//! The table at the server: whether it takes the rows as the SQL declares them, found out before anything is read, all
//! differences at once. What its columns take is kept, so that a row it would refuse is refused before the commit.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};
use tokio_postgres::SimpleQueryRow;
use tokio_postgres::error::SqlState;

use super::connect::{Talk, literal};
use super::errors::{Failure, Place};
use super::values::{Column, Takes};
use crate::config::postgres::quoted;
use crate::model::nearest;
use crate::sink::SinkError;

/// Infinite numbers fit `numeric` from this version on.
const INFINITE_NUMERIC: u32 = 140_000;
/// The oldest version that is still somebody's to repair; `ON CONFLICT` is older.
const OLDEST: u32 = 120_000;
/// What a length or a precision in a column's type is counted from.
const TYPMOD_HEADER: i32 = 4;

/// A column of the table as it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its name.
    pub name: String,
    /// Its type without its length: `character varying`; of a domain what that is made of.
    pub base: String,
    /// Its type as people write it: `character varying(10)`.
    pub shown: String,
    /// Its length or precision, as the server keeps it; -1: none.
    pub typmod: i32,
    /// Whether a null is refused.
    pub not_null: bool,
    /// Whether it gets a value if none is written.
    pub has_default: bool,
    /// Whether nobody may write it.
    pub is_generated: bool,
}

/// Checks that the server can take rows at all, and finds the table or makes it. Returns its columns, in the order of
/// `schema`.
pub(super) fn prepare(
    talk: &Talk<'_>,
    place: &Place,
    schema: &SchemaRef,
    key: &[usize],
    name: &str,
    create: bool,
) -> Result<Vec<Column>, Failure> {
    let version = talk.rows("SHOW server_version_num")?;
    let version: u32 = first(&version)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    if version < OLDEST {
        return Err(refused(
            place,
            format!("its version is {version}; 12 and later are written to"),
        ));
    }
    let exact = format!("{}.{}", quoted(&place.schema), quoted(name));
    let asked = format!("SELECT to_regclass({})::oid", literal(&exact));
    let mut oid = first(&talk.rows(&asked)?);
    if oid.is_none() && create {
        make(talk, &place.ddl)?;
        oid = first(&talk.rows(&asked)?);
        tracing::info!("table {} was made in {}", place.table, place.server());
    }
    let Some(oid) = oid else {
        return Err(refused(
            place,
            format!(
                "table {} is not there. Create it, or start with --create-tables:\n{};",
                place.table, place.ddl
            ),
        ));
    };
    let kind = talk.rows(&format!("SELECT relkind FROM pg_class WHERE oid = {oid}"))?;
    let kind = first(&kind).unwrap_or_default();
    if !matches!(kind.as_str(), "r" | "p") {
        return Err(refused(
            place,
            format!(
                "{} is no table, and rows cannot be replaced in it",
                place.table
            ),
        ));
    }
    let found = columns(talk, &oid)?;
    let mut faults = Vec::new();
    let columns = compare(schema, key, &found, version, &mut faults);
    let key: Vec<&str> = key
        .iter()
        .map(|&at| schema.field(at).name().as_str())
        .collect();
    if !key.is_empty() && faults.is_empty() && !has_key(talk, &oid, &key)? {
        let quoted: Vec<String> = key.iter().map(|name| quoted(name)).collect();
        faults.push(format!(
            "it has no PRIMARY KEY or unique index over exactly ({}), so rows of one key cannot replace each other: ALTER TABLE {exact} ADD PRIMARY KEY ({})",
            key.join(", "),
            quoted.join(", ")
        ));
    }
    if !faults.is_empty() {
        return Err(refused(
            place,
            format!(
                "table {} is not as the SQL has it:\n  {}\nChange one of them; as the SQL has it, it would be\n{};",
                place.table,
                faults.join("\n  "),
                place.ddl
            ),
        ));
    }
    check_rights(talk, place, &oid)?;
    Ok(columns)
}

/// Makes a table. That another job has done so in the same moment is as good.
pub(super) fn make(talk: &Talk<'_>, declaration: &str) -> Result<(), Failure> {
    match talk.run(declaration) {
        // `IF NOT EXISTS` looks before it waits for who is making it.
        Err(Failure::Postgres(error))
            if matches!(
                error.code(),
                Some(&SqlState::DUPLICATE_TABLE | &SqlState::UNIQUE_VIOLATION)
            ) =>
        {
            Ok(())
        }
        made => made,
    }
}

fn refused(place: &Place, why: String) -> Failure {
    Failure::Sink(SinkError::NotWritable(format!("{}: {why}", place.server())))
}

/// The first value of the first row.
pub(super) fn first(rows: &[SimpleQueryRow]) -> Option<String> {
    rows.first()?.get(0).map(str::to_owned)
}

fn columns(talk: &Talk<'_>, oid: &str) -> Result<Vec<Found>, Failure> {
    let sql = format!(
        "SELECT a.attname, \
         format_type(CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE a.atttypid END, NULL), \
         format_type(a.atttypid, a.atttypmod), \
         CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END, \
         a.attnotnull OR t.typnotnull, a.atthasdef OR a.attidentity <> '', \
         a.attgenerated <> '' OR a.attidentity = 'a' \
         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
         WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    );
    let rows = talk.rows(&sql)?;
    let found = rows.iter().map(|row| {
        let text = |at: usize| row.get(at).unwrap_or_default().to_owned();
        Found {
            name: text(0),
            base: text(1),
            shown: text(2),
            typmod: text(3).parse().unwrap_or(-1),
            not_null: text(4) == "t",
            has_default: text(5) == "t",
            is_generated: text(6) == "t",
        }
    });
    Ok(found.collect())
}

/// Whether rows can be told apart by exactly these columns, always and at once.
fn has_key(talk: &Talk<'_>, oid: &str, key: &[&str]) -> Result<bool, Failure> {
    let sql = format!(
        "SELECT i.indexrelid, a.attname FROM pg_index i \
         JOIN pg_attribute a ON a.attrelid = i.indrelid \
         AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]) \
         WHERE i.indrelid = {oid} AND i.indisunique AND i.indisvalid AND i.indimmediate \
         AND i.indpred IS NULL AND i.indexprs IS NULL"
    );
    let mut indexes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in talk.rows(&sql)? {
        if let (Some(index), Some(column)) = (row.get(0), row.get(1)) {
            indexes
                .entry(index.to_owned())
                .or_default()
                .push(column.to_owned());
        }
    }
    Ok(indexes.values().any(|columns| {
        columns.len() == key.len() && columns.iter().all(|column| key.contains(&column.as_str()))
    }))
}

fn check_rights(talk: &Talk<'_>, place: &Place, oid: &str) -> Result<(), Failure> {
    let sql = format!(
        "SELECT has_table_privilege({oid}, 'INSERT') AND has_table_privilege({oid}, 'UPDATE') \
         AND has_table_privilege({oid}, 'SELECT') \
         AND has_database_privilege(current_database(), 'TEMPORARY')"
    );
    match first(&talk.rows(&sql)?).as_deref() {
        Some("t") => Ok(()),
        _ => Err(refused(
            place,
            format!(
                "user {} may not write table {}. Its owner gives the rights:\n{}",
                place.user,
                place.table,
                place.grants()
            ),
        )),
    }
}

/// Each declared column with the one that stands there, and what does not go together.
pub(super) fn compare(
    schema: &SchemaRef,
    key: &[usize],
    found: &[Found],
    version: u32,
    faults: &mut Vec<String>,
) -> Vec<Column> {
    let mut columns = Vec::new();
    for (at, field) in schema.fields().iter().enumerate() {
        let name = field.name();
        let Some(there) = found.iter().find(|there| there.name == *name) else {
            let names = found.iter().map(|there| there.name.as_str());
            let near = nearest(name, names).map_or_else(String::new, |near| {
                format!(
                    "; is it {near}, which is there? Names are as they are written, capitals too"
                )
            });
            faults.push(format!("column {name} is not there{near}"));
            continue;
        };
        if there.is_generated {
            faults.push(format!(
                "column {name} is generated by the server, so it cannot be written"
            ));
        }
        match takes(field, there, version) {
            Some(takes) => columns.push(Column {
                name: name.clone(),
                takes,
                not_null: there.not_null || key.contains(&at),
            }),
            None => faults.push(format!(
                "column {name} is {}, which does not hold every {}",
                there.shown,
                words(field.data_type())
            )),
        }
    }
    for there in found {
        let is_written = schema.field_with_name(&there.name).is_ok();
        if !is_written && there.not_null && !there.has_default && !there.is_generated {
            faults.push(format!(
                "column {} is NOT NULL without a default, and the SQL does not write it",
                there.name
            ));
        }
    }
    columns
}

/// What of our values the column takes; `None`: not all of its kind.
fn takes(field: &Field, there: &Found, version: u32) -> Option<Takes> {
    use DataType::*;
    let numeric = || Takes::Numeric {
        digits: (there.typmod >= TYPMOD_HEADER).then(|| {
            let typmod = there.typmod - TYPMOD_HEADER;
            // The scale has eleven bits, and a sign since version 15.
            ((typmod >> 16) & 0xffff, ((typmod & 0x7ff) ^ 0x400) - 0x400)
        }),
        infinite: version >= INFINITE_NUMERIC,
    };
    let base = there.base.as_str();
    Some(match (field.data_type(), base) {
        (Utf8 | LargeUtf8 | Utf8View, _) => match base {
            "character varying" | "character" => Takes::Text {
                chars: usize::try_from(there.typmod - TYPMOD_HEADER).ok(),
            },
            "json" => Takes::Json { binary: false },
            "jsonb" => Takes::Json { binary: true },
            "uuid" => Takes::Uuid,
            "text" | "citext" | "name" => Takes::Text { chars: None },
            // What is left of the server's own types holds no text.
            _ if is_own_type(base) => return None,
            _ => Takes::Text { chars: None },
        },
        (Int8 | Int16 | UInt8, "smallint" | "integer" | "bigint")
        | (Int32 | UInt16, "integer" | "bigint")
        | (Int64 | UInt32, "bigint")
        | (Int8 | Int16 | UInt8 | Int32 | UInt16, "double precision")
        | (Float64 | Float32, "double precision")
        | (Float32, "real")
        | (Boolean, "boolean")
        | (Date32, "date")
        | (Time64(TimeUnit::Nanosecond), "time without time zone")
        | (Binary, "bytea")
        | (Timestamp(_, None), "timestamp with time zone" | "timestamp without time zone") => {
            Takes::All
        }
        (number, "numeric") if number.is_integer() || number.is_floating() => numeric(),
        (Decimal128(..), "numeric") => numeric(),
        (List(item), base) => {
            let there = Found {
                base: base.strip_suffix("[]")?.to_owned(),
                ..there.clone()
            };
            Takes::Array(Box::new(takes(item, &there, version)?))
        }
        _ => return None,
    })
}

/// Types that the server itself has and that are no text; others are somebody's own, such as an enumeration, and read
/// text.
fn is_own_type(base: &str) -> bool {
    const OWN: [&str; 20] = [
        "smallint",
        "integer",
        "bigint",
        "numeric",
        "real",
        "double precision",
        "boolean",
        "date",
        "bytea",
        "interval",
        "money",
        "oid",
        "inet",
        "cidr",
        "macaddr",
        "point",
        "box",
        "xml",
        "tsvector",
        "bit",
    ];
    OWN.contains(&base) || base.starts_with("time") || base.ends_with("[]")
}

fn words(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "TEXT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Float32 => "FLOAT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Timestamp(..) => "TIMESTAMP".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Time64(_) => "TIME".to_owned(),
        DataType::Binary => "BYTEA".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision},{scale})"),
        DataType::List(item) => format!("{}[]", words(item.data_type())),
        other => other.to_string().to_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Schema;
    use expect_test::{Expect, expect};

    use super::*;

    fn there(name: &str, shown: &str, typmod: i32) -> Found {
        let base = shown.split('(').next().unwrap_or_default();
        Found {
            name: name.to_owned(),
            base: base.to_owned(),
            shown: shown.to_owned(),
            typmod,
            not_null: false,
            has_default: false,
            is_generated: false,
        }
    }

    /// What a column of our type takes, for each type that stands there.
    fn check(data_type: DataType, types: &[(&str, i32)], expected: Expect) {
        let field = Field::new("c", data_type, true);
        let lines = types.iter().map(|(shown, typmod)| {
            let takes = takes(&field, &there("c", shown, *typmod), 150_000);
            format!(
                "{shown}: {}\n",
                takes.map_or("no".to_owned(), |takes| format!("{takes:?}"))
            )
        });
        expected.assert_eq(&lines.collect::<String>());
    }

    #[test]
    fn a_column_must_hold_every_value_of_its_type() {
        check(
            DataType::Utf8View,
            &[
                ("text", -1),
                ("character varying(10)", 14),
                ("character varying", -1),
                ("character(3)", 7),
                ("jsonb", -1),
                ("json", -1),
                ("uuid", -1),
                ("mood", -1),
                ("integer", -1),
                ("timestamp with time zone", -1),
                ("text[]", -1),
            ],
            expect![[r#"
                text: Text { chars: None }
                character varying(10): Text { chars: Some(10) }
                character varying: Text { chars: None }
                character(3): Text { chars: Some(3) }
                jsonb: Json { binary: true }
                json: Json { binary: false }
                uuid: Uuid
                mood: Text { chars: None }
                integer: no
                timestamp with time zone: no
                text[]: no
            "#]],
        );
        check(
            DataType::Int32,
            &[
                ("smallint", -1),
                ("integer", -1),
                ("bigint", -1),
                ("numeric", -1),
                ("real", -1),
                ("text", -1),
            ],
            expect![[r#"
                smallint: no
                integer: All
                bigint: All
                numeric: Numeric { digits: None, infinite: true }
                real: no
                text: no
            "#]],
        );
        check(
            DataType::Float64,
            &[
                ("double precision", -1),
                ("real", -1),
                ("numeric(20,6)", (20 << 16 | 6) + 4),
                ("numeric(3,-2)", (3 << 16 | 0x7fe) + 4),
            ],
            expect![[r#"
                double precision: All
                real: no
                numeric(20,6): Numeric { digits: Some((20, 6)), infinite: true }
                numeric(3,-2): Numeric { digits: Some((3, -2)), infinite: true }
            "#]],
        );
        check(
            DataType::Timestamp(TimeUnit::Nanosecond, None),
            &[
                ("timestamp with time zone", -1),
                ("timestamp without time zone", -1),
                ("date", -1),
            ],
            expect![[r#"
                timestamp with time zone: All
                timestamp without time zone: All
                date: no
            "#]],
        );
        let item = Arc::new(Field::new("item", DataType::Float64, true));
        check(
            DataType::List(item),
            &[
                ("double precision[]", -1),
                ("integer[]", -1),
                ("double precision", -1),
            ],
            expect![[r#"
                double precision[]: Array(All)
                integer[]: no
                double precision: no
            "#]],
        );
    }

    #[test]
    fn all_differences_are_told_at_once() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("symbol", DataType::Utf8View, true),
            Field::new("price", DataType::Float64, true),
            Field::new("n", DataType::Int64, true),
        ]));
        let generated = Found {
            is_generated: true,
            ..there("n", "bigint", -1)
        };
        let needed = Found {
            not_null: true,
            ..there("venue", "text", -1)
        };
        let defaulted = Found {
            has_default: true,
            name: "id".to_owned(),
            ..needed.clone()
        };
        let found = [
            there("Symbol", "text", -1),
            there("price", "real", -1),
            generated,
            needed,
            defaulted,
        ];
        let mut faults = Vec::new();
        compare(&schema, &[0], &found, 150_000, &mut faults);
        expect![[r#"
            column symbol is not there; is it Symbol, which is there? Names are as they are written, capitals too
            column price is real, which does not hold every DOUBLE
            column n is generated by the server, so it cannot be written
            column venue is NOT NULL without a default, and the SQL does not write it"#]]
        .assert_eq(&faults.join("\n"));
        let found = [
            there("symbol", "text", -1),
            there("price", "double precision", -1),
            there("n", "bigint", -1),
        ];
        let mut faults = Vec::new();
        let columns = compare(&schema, &[0], &found, 150_000, &mut faults);
        assert_eq!(faults, Vec::<String>::new());
        // What is of the key is never null.
        let not_null: Vec<bool> = columns.iter().map(|column| column.not_null).collect();
        assert_eq!(not_null, [true, false, false]);
    }
}
