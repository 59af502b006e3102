//! A command line, with the environment behind it, into its typed form.

use clap::{Arg, Command, Parser};

/// Reads this process's command line and the variables that its flags name.
///
/// A variable that is set to nothing counts as not set: a compose file sets those it does not know to
/// nothing. A wrong command line ends the process with exit code 2, after a message; `--help` and
/// `--version` end it with 0.
pub fn parse<T: Parser>() -> T {
    let matches = without_empty_variables(T::command()).get_matches();
    T::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// As [`parse`], but with these arguments instead of the process's, and with a message instead of an end.
///
/// # Errors
/// clap's message.
pub fn parse_from<T: Parser>(arguments: &[&str]) -> Result<T, String> {
    let matches = without_empty_variables(T::command()).try_get_matches_from(arguments);
    let parsed = matches.and_then(|matches| T::from_arg_matches(&matches));
    parsed.map_err(|error| error.to_string())
}

fn without_empty_variables(command: Command) -> Command {
    let forget_empty = |arg: Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        match value {
            Some(value) if value.is_empty() => arg.env(None::<&str>),
            _ => arg,
        }
    };
    command
        .mut_args(forget_empty)
        .mut_subcommands(without_empty_variables)
}
