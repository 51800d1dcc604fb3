//! The command line.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, Result, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use serde_json::{Value, json};
use shared::{
    address::EmailAddress,
    password::Password,
    settings::Environment,
    tables::{Found, SentMail, User, Users},
};
use zeroize::Zeroizing;

use crate::{
    admin::deployed::{self, AdminArgs},
    demo,
    doctor::{self, DoctorArgs},
    exit::{self, Missing, Outcome},
    runserver::{self, RunserverArgs},
    session::{DatabaseArgs, Session},
    tables,
    transfer::{self, ExportArgs, ImportArgs},
    unsent::{self, Unsent},
    users::{self, NewUser, PasswordRules},
};

/// The command's name, as completions know it.
const NAME: &str = "manage";

/// Account recovery: the whole system on this machine, its tables and its users.
///
/// Without a command it is `runserver`. The commands work on the embedded database, that of a
/// running `runserver` if there is one; on another DynamoDB where `AWS_ENDPOINT_URL_DYNAMODB` is
/// set; and on AWS with --aws, or with --stack on what was deployed there.
#[derive(Parser)]
#[command(name = NAME, version, args_conflicts_with_subcommands = true, after_help = exit::HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    runserver: RunserverArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything: API, inbox, admin panel, DynamoDB, SES, mailer
    Runserver(RunserverArgs),
    /// Make the tables that are missing; change none that is there
    Migrate {
        #[command(flatten)]
        database: DatabaseArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Add a user who may use the admin panel
    Createsuperuser(CreateSuperuser),
    /// Add, list, show, import and export users
    #[command(subcommand)]
    Users(UsersCommand),
    /// Serve the admin panel, on this machine alone, for what is deployed on AWS
    Admin(AdminArgs),
    /// Look whether everything is there that a reset needs, and say what to do about the rest
    Doctor(DoctorArgs),
    /// List mail that could not be sent, and send it after all
    #[command(subcommand)]
    Unsent(Unsent),
    /// Walk through a whole reset in memory and check each step
    Demo,
    /// Print what a shell needs to complete these commands
    Completions {
        /// Whose form it has
        shell: Shell,
    },
}

#[derive(Subcommand)]
enum UsersCommand {
    /// Add a user, who can set a first password by mail
    Add(AddUser),
    /// List all users
    List {
        #[command(flatten)]
        database: DatabaseArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Take in users from a file: JSON lines, CSV, a JSON array, or Django's dumpdata
    Import(Box<ImportArgs>),
    /// Write all users to standard output, as `import` reads them
    Export(ExportArgs),
    /// Show one user
    Show {
        /// The user's address
        email: String,
        #[command(flatten)]
        database: DatabaseArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Send mail again to a user whose address bounced or who complained
    ClearSuppression {
        /// The user's address
        email: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

/// How a command that lists something prints it.
#[derive(Args)]
pub(crate) struct OutputArgs {
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

/// See [`OutputArgs`].
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}

#[derive(Args)]
struct Person {
    /// What the mails call them
    #[arg(long)]
    name: Option<String>,
    /// The language that they read, such as en, pt-BR or es
    #[arg(long, value_name = "TAG")]
    locale: Option<String>,
    /// Read the password from standard input, one line
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Args)]
struct CreateSuperuser {
    /// Their address; asked for unless it is given
    #[arg(long)]
    email: Option<String>,
    #[command(flatten)]
    person: Person,
}

#[derive(Args)]
struct AddUser {
    /// Their address
    email: String,
    /// They may use the admin panel
    #[arg(long)]
    superuser: bool,
    /// They may neither sign in nor be recovered
    #[arg(long)]
    inactive: bool,
    #[command(flatten)]
    person: Person,
}

/// Does what the command line asks for.
pub async fn run(cli: Cli) -> Result<Outcome> {
    match cli.command.unwrap_or(Command::Runserver(cli.runserver)) {
        Command::Runserver(args) => runserver::run(args).await,
        Command::Migrate { database, output } => migrate(database, output.output).await,
        Command::Createsuperuser(args) => create_superuser(args).await,
        Command::Users(UsersCommand::Import(args)) => return import(*args).await,
        Command::Users(UsersCommand::Export(args)) => return transfer::export(args).await,
        Command::Users(UsersCommand::Add(args)) => add_user(args).await,
        Command::Users(UsersCommand::List { database, output }) => {
            list_users(database, output.output).await
        }
        Command::Users(UsersCommand::Show {
            email,
            database,
            output,
        }) => show_user(&email, database, output.output).await,
        Command::Users(UsersCommand::ClearSuppression { email, database }) => {
            clear_suppression(&email, database).await
        }
        Command::Admin(args) => deployed::run(args).await,
        Command::Doctor(args) => return doctor::run(args).await,
        Command::Unsent(command) => return unsent(command).await,
        Command::Demo => demo::run().await,
        Command::Completions { shell } => {
            let mut command = Cli::command();
            clap_complete::generate(shell, &mut command, NAME, &mut io::stdout());
            Ok(())
        }
    }?;
    Ok(Outcome::Done)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge, where the time comes from"
)]
async fn unsent(command: Unsent) -> Result<Outcome> {
    unsent::run(command, Utc::now()).await
}

async fn migrate(database: DatabaseArgs, output: Output) -> Result<()> {
    let session = database.open().await?;
    let report = tables::migrate(&session.connection.client, &session.names).await;
    let report = session.finish(report).await?;
    if output == Output::Json {
        let row = |(table, is_new)| json!({ "table": table, "made": is_new });
        return print_json(&report.into_iter().map(row).collect());
    }
    for (table, is_new) in report {
        println!("{table}: {}", if is_new { "made" } else { "was there" });
    }
    Ok(())
}

/// Prints `value` for programs.
pub(crate) fn print_json(value: &Value) -> Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(value)?)?;
    Ok(())
}

async fn create_superuser(args: CreateSuperuser) -> Result<()> {
    let CreateSuperuser { email, person } = args;
    let mail_to = match email {
        Some(email) => email,
        None => ask("E-mail address: ")?,
    };
    let Ok(email) = EmailAddress::parse(&mail_to) else {
        bail!("{mail_to:?} is not an e-mail address")
    };
    let session = person.database.open().await?;
    let work = async {
        // Before the password is asked for twice in vain.
        let users = Users::new(
            session.connection.client.clone(),
            session.names.users.clone(),
        );
        users::require_own_key(&session.names.users)?;
        if tables::exists(&session.connection.client, &session.names.users.name).await?
            && users.get(&email).await?.is_some()
        {
            bail!(
                "there is a user with the address {} already; nothing was changed",
                email.as_str()
            );
        }
        let password = if person.password_stdin {
            password_from_stdin()?
        } else {
            ask_password()?
        };
        let new = NewUser {
            mail_to,
            name: person.name,
            locale: person.locale,
            password: Some(password),
            is_superuser: true,
            is_active: true,
        };
        add(&session, new).await
    };
    let work = work.await;
    let user = session.finish(work).await?;
    println!("added the superuser {}", user.email.as_str());
    Ok(())
}

async fn add_user(args: AddUser) -> Result<()> {
    let AddUser {
        email,
        superuser,
        inactive,
        person,
    } = args;
    let session = person.database.open().await?;
    let work = async {
        let new = NewUser {
            mail_to: email,
            name: person.name,
            locale: person.locale,
            password: person
                .password_stdin
                .then(password_from_stdin)
                .transpose()?,
            is_superuser: superuser,
            is_active: !inactive,
        };
        add(&session, new).await
    };
    let work = work.await;
    let user = session.finish(work).await?;
    println!("added {}", user.email.as_str());
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge, where the time comes from"
)]
async fn add(session: &Session, new: NewUser) -> Result<User> {
    let Session {
        connection, names, ..
    } = session;
    if session.is_aws {
        session.require(&names.users.name).await?;
    } else if !tables::exists(&connection.client, &names.users.name).await? {
        tables::migrate(&connection.client, names).await?;
    }
    let lookup = |name: &str| session.setting(name);
    let rules = PasswordRules::read(&Environment::new(&lookup))?;
    users::add(&connection.client, &names.users, new, rules, Utc::now()).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge, where the time comes from"
)]
async fn import(args: ImportArgs) -> Result<Outcome> {
    transfer::import(args, Utc::now()).await
}

async fn list_users(database: DatabaseArgs, output: Output) -> Result<()> {
    let session = database.open().await?;
    let mut listed = Vec::new();
    let work = async {
        let users = session.users().await?;
        users::for_each(&users, |user| {
            listed.push(user.clone());
            Ok(())
        })
        .await
    };
    let work = work.await;
    let unreadable = session.finish(work).await?;
    if unreadable > 0 {
        eprintln!("{}", users::unreadable(unreadable));
    }
    match output {
        Output::Json => print_json(&listed.iter().map(users::to_json).collect()),
        Output::Table => Ok(print_table(&listed)?),
    }
}

async fn show_user(email: &str, database: DatabaseArgs, output: Output) -> Result<()> {
    let Ok(email) = EmailAddress::parse(email) else {
        bail!("{email:?} is not an e-mail address")
    };
    let session = database.open().await?;
    let found = async {
        match session.users().await?.find(&email).await? {
            Found::One(user) => Ok(user),
            Found::Nobody => Err(no_user(&email)),
            Found::Several => bail!(
                "more than one user has the address {}; nobody can recover any of them until \
                 the application gives each an address of its own",
                email.as_str()
            ),
        }
    };
    let found = found.await;
    let user = session.finish(found).await?;
    match output {
        Output::Json => print_json(&users::to_json(&user)),
        Output::Table => {
            print_user(&user);
            Ok(())
        }
    }
}

async fn clear_suppression(email: &str, database: DatabaseArgs) -> Result<()> {
    let Ok(email) = EmailAddress::parse(email) else {
        bail!("{email:?} is not an e-mail address")
    };
    let session = database.open().await?;
    let cleared = async {
        let cleared = session.users().await?.clear_suppression(&email).await?;
        cleared.ok_or_else(|| no_user(&email))
    };
    let cleared = cleared.await;
    let address = email.as_str();
    if session.finish(cleared).await? {
        println!("mail to {address} is sent again");
    } else {
        println!("mail to {address} was not stopped; nothing was changed");
    }
    Ok(())
}

fn no_user(email: &EmailAddress) -> anyhow::Error {
    let address = email.as_str();
    Missing(format!("there is no user with the address {address}")).into()
}

fn print_table(listed: &[User]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if listed.is_empty() {
        return writeln!(out, "there are no users; add one with `users add ADDRESS`");
    }
    let width = listed
        .iter()
        .map(|user| user.mail_to.chars().count())
        .max()
        .unwrap_or(0)
        .max(7);
    writeln!(
        out,
        "{:width$}  active  superuser  password changed      name",
        "address"
    )?;
    for user in listed {
        writeln!(
            out,
            "{:width$}  {:6}  {:9}  {:20}  {}",
            user.mail_to,
            yes(user.is_active),
            yes(user.is_superuser),
            time(user.password_changed_at),
            user.name.as_deref().unwrap_or("-"),
        )?;
    }
    Ok(())
}

fn print_user(user: &User) {
    for (label, value) in [
        ("address", user.mail_to.clone()),
        ("key", user.email.as_str().to_owned()),
        ("user id", user.user_id.clone()),
        ("name", user.name.clone().unwrap_or_else(|| "-".to_owned())),
        (
            "language",
            user.locale.clone().unwrap_or_else(|| "-".to_owned()),
        ),
        ("active", yes(user.is_active).to_owned()),
        ("superuser", yes(user.is_superuser).to_owned()),
        ("created", time(user.created_at)),
        ("password changed", time(user.password_changed_at)),
        ("session epoch", user.session_epoch.to_string()),
        ("mails in all", user.recovery.mail_count.to_string()),
    ] {
        println!("{label:16}  {value}");
    }
    for mail in &user.recovery.mails {
        println!("{:16}  {}", "mail", describe_mail(mail));
    }
    if let Some(suppression) = user.suppression() {
        println!(
            "{:16}  since {}: {}{}; `users clear-suppression {}` sends mail again",
            "mail stopped",
            time(Some(suppression.at)),
            suppression.cause.describe(),
            in_brackets(suppression.reason.as_deref()),
            user.email.as_str(),
        );
    }
}

fn describe_mail(mail: &SentMail) -> String {
    let outcome = mail.outcome.as_ref();
    format!(
        "{}  {:16}  {}{}",
        time(Some(mail.at)),
        mail.kind.as_str(),
        outcome.map_or("handed to SES", |outcome| outcome.state.describe()),
        in_brackets(outcome.and_then(|outcome| outcome.reason.as_deref())),
    )
}

fn in_brackets(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(" ({reason})"))
}

fn yes(truth: bool) -> &'static str {
    if truth { "yes" } else { "no" }
}

fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(
        || "never".to_owned(),
        |at| at.to_rfc3339_opts(SecondsFormat::Secs, true),
    )
}

fn ask(prompt: &str) -> Result<String> {
    if !io::stdin().is_terminal() {
        bail!("there is nobody to ask for the address; give it with --email");
    }
    print!("{prompt}");
    io::stdout().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

fn ask_password() -> Result<Password> {
    if !io::stdin().is_terminal() {
        bail!(
            "there is nobody to ask for the password; give it on standard input with --password-stdin"
        );
    }
    let once = Zeroizing::new(rpassword::prompt_password("Password: ")?);
    let again = Zeroizing::new(rpassword::prompt_password("Password again: ")?);
    if once != again {
        bail!("the two passwords are not the same; nothing was changed");
    }
    Ok(Password::new(&once))
}

fn password_from_stdin() -> Result<Password> {
    let mut line = Zeroizing::new(String::new());
    io::stdin()
        .lock()
        .read_line(&mut line)
        .context("reading the password from standard input")?;
    Ok(Password::new(line.trim_end_matches(['\r', '\n'])))
}
