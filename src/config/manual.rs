//! What a shell and `man` know of the four programs: made from their command lines, so that they never say
//! anything else. Packages are made with these two, and people can call them too.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;

use super::api::ApiArgs;
use super::ingest::args::IngestArgs;
use super::producer::ProducerArgs;
use super::stockpulse::StockpulseArgs;
use crate::model::Exit;

/// The programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Program {
    /// The demo, the reader, tests, the benchmark
    Stockpulse,
    /// Feed → Kafka
    StockpulseProducer,
    /// Kafka → SQL → Parquet
    StockpulseIngest,
    /// Candles over HTTP
    StockpulseApi,
}

impl Program {
    /// Its command line.
    pub fn command(self) -> Command {
        match self {
            Program::Stockpulse => StockpulseArgs::command(),
            Program::StockpulseProducer => ProducerArgs::command(),
            Program::StockpulseIngest => IngestArgs::command(),
            Program::StockpulseApi => ApiArgs::command(),
        }
    }
}

/// What `stockpulse completions` prints.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// Which shell's
    pub shell: Shell,

    /// Which program's
    #[arg(value_enum, default_value_t = Program::Stockpulse)]
    pub program: Program,
}

/// What `stockpulse man` writes.
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// Folder that the pages are written to; it is made if it is not there
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// The whole of `stockpulse completions`: a script for the shell on standard output.
pub fn print_completions(args: &CompletionsArgs) -> ExitCode {
    match io::stdout().write_all(&completions(args.shell, args.program)) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: standard output cannot be written: {error}");
            Exit::Failed.into()
        }
        _ => Exit::Done.into(),
    }
}

/// The script that teaches a shell a program's options.
pub fn completions(shell: Shell, program: Program) -> Vec<u8> {
    let mut command = program.command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    script
}

/// The whole of `stockpulse man`: a page of each program and of each of their subcommands.
pub fn write_man_pages(args: &ManArgs) -> ExitCode {
    match write_pages(&args.dir) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            let dir = args.dir.display();
            eprintln!("error: the pages cannot be written to {dir}: {error}");
            Exit::NotWritable.into()
        }
    }
}

fn write_pages(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for program in Program::value_variants() {
        for (name, page) in man_pages(*program)? {
            fs::write(dir.join(name), page)?;
        }
    }
    Ok(())
}

/// File name and text of a program's pages, in roff: its own, and one for each subcommand.
///
/// # Errors
/// None that a buffer in memory can have.
pub fn man_pages(program: Program) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = program.command().disable_help_subcommand(true);
    command.build();
    let mut pages = vec![man_page(&command)?];
    for subcommand in command.get_subcommands() {
        pages.push(man_page(subcommand)?);
    }
    Ok(pages)
}

/// Deliberately without a date: the same program gives the same page.
fn man_page(command: &Command) -> io::Result<(String, Vec<u8>)> {
    let version = env!("CARGO_PKG_VERSION");
    let page = Man::new(command.clone());
    let file = page.get_filename();
    let name = file.trim_end_matches(".1");
    // Written here, since clap_mangen leaves an empty date out, so that the rest would be taken for it.
    let title = format!(".TH \"{name}\" 1 \"\" \"StockPulse {version}\" \"StockPulse\"\n");
    let mut text = title.into_bytes();
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    if let Some(more) = command.get_after_help() {
        text.extend(as_it_stands("MORE", &more.to_string()).into_bytes());
    }
    Ok((file, text))
}

/// A section whose lines are not filled: it may be a table.
fn as_it_stands(heading: &str, lines: &str) -> String {
    let mut section = format!(".SH {heading}\n.nf\n");
    for line in lines.lines() {
        // A dot or an apostrophe at a line's beginning would be a request of roff's; \& is nothing.
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        section += &format!("\\&{line}\n");
    }
    section + ".fi\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(program: Program, file: &str) -> String {
        let pages = man_pages(program).unwrap();
        let found = pages.into_iter().find(|(name, _)| name == file);
        String::from_utf8(found.expect("the page is made").1).unwrap()
    }

    #[test]
    fn every_option_is_on_its_programs_page_and_in_its_completions() {
        for program in Program::value_variants() {
            let command = program.command();
            let page = page(*program, &format!("{}.1", command.get_name()));
            let options = command.get_arguments().filter(|arg| !arg.is_hide_set());
            for option in options.filter_map(|arg| arg.get_long()) {
                let in_roff = format!("\\-\\-{}", option.replace('-', "\\-"));
                assert!(page.contains(&in_roff), "{page}\n{option} is not there");
                for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
                    let script = String::from_utf8(completions(shell, *program)).unwrap();
                    assert!(script.contains(option), "{shell}: {option} is not there");
                }
            }
        }
    }

    #[test]
    fn a_subcommand_has_a_page_under_both_names() {
        let read = page(Program::Stockpulse, "stockpulse-read.1");
        assert!(read.contains("\\fBstockpulse read\\fR"), "{read}");
        assert!(page(Program::Stockpulse, "stockpulse.1").contains("stockpulse\\-read(1)"));
    }

    #[test]
    fn a_table_stays_a_table_and_no_line_is_a_request() {
        assert_eq!(
            as_it_stands("MORE", ".one  a\\b\n'two  -x"),
            ".SH MORE\n.nf\n\\&.one  a\\eb\n\\&'two  \\-x\n.fi\n"
        );
        let page = page(Program::StockpulseIngest, "stockpulse-ingest.1");
        assert!(page.contains(".SH MORE\n.nf\n"), "{page}");
    }
}
