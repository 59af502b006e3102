//! The text of a SQL file → statements with positions, in Arroyo's dialect.
