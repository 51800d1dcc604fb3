//! The commands about users.

use std::io::{self, Write};

use anyhow::{Result, bail};
use aws::tables::{SuppressionClearing, User, UserLookup, Users};
use clap::{Args, Subcommand};
use rules::{address::EmailAddress, environment::Environment, recovery::SentEmail};

use crate::{
    accounts::{self, NewUser, PasswordRules},
    address_arg::AddressArg,
    database::OpenEmbedded,
    exit::{ExitStatus, NotFound},
    migrate, now,
    output::{OutputArgs, OutputFormat, print_json, time, yes_no},
    prompt, schema,
    transfer::{self, ExportArgs, ImportArgs},
    workspace::{DatabaseArgs, Workspace},
};

/// A command about users.
#[derive(Subcommand)]
pub enum UsersCommand {
    /// Add a user, who can set a first password by email
    Add(AddUserArgs),
    /// List all users
    List(ListUsersArgs),
    /// Import users from a file: JSON lines, CSV, a JSON array or Django's dumpdata
    Import(Box<ImportArgs>),
    /// Export all users to standard output, in a format that `import` reads
    Export(ExportArgs),
    /// Show one user
    Show(ShowUserArgs),
    /// Resume email to a user whose address bounced or who complained
    ClearSuppression(ClearSuppressionArgs),
}

#[derive(Args)]
struct NewUserArgs {
    /// Name of the user, for emails
    #[arg(long)]
    name: Option<String>,
    /// Language of emails to the user, such as en, pt-BR or es
    #[arg(long, value_name = "TAG")]
    locale: Option<String>,
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Options of `createsuperuser`.
#[derive(Args)]
pub struct CreateSuperuserArgs {
    /// Address of the user; prompts for it if omitted
    #[arg(long)]
    email: Option<AddressArg>,
    #[command(flatten)]
    user: NewUserArgs,
}

/// Options of `users add`.
#[derive(Args)]
pub struct AddUserArgs {
    /// Address of the user
    email: AddressArg,
    /// Allow the user to use the admin panel
    #[arg(long)]
    superuser: bool,
    /// Add the account as inactive: it cannot sign in or be recovered
    #[arg(long)]
    inactive: bool,
    #[command(flatten)]
    user: NewUserArgs,
}

/// Options of `users list`.
#[derive(Args)]
pub struct ListUsersArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Options of `users show`.
#[derive(Args)]
pub struct ShowUserArgs {
    /// Address of the user
    email: AddressArg,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Options of `users clear-suppression`.
#[derive(Args)]
pub struct ClearSuppressionArgs {
    /// Address of the user
    email: AddressArg,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Runs a command about users.
pub(crate) async fn run(command: UsersCommand, open_embedded: OpenEmbedded) -> Result<ExitStatus> {
    match command {
        UsersCommand::Add(args) => add_user(args, open_embedded).await,
        UsersCommand::List(args) => list_users(args, open_embedded).await,
        UsersCommand::Import(args) => transfer::import(*args, open_embedded).await,
        UsersCommand::Export(args) => transfer::export(args, open_embedded).await,
        UsersCommand::Show(args) => show_user(args, open_embedded).await,
        UsersCommand::ClearSuppression(args) => clear_suppression(args, open_embedded).await,
    }
}

/// Adds a superuser. Prompts for the address and the password if the command line lacks them.
pub(crate) async fn create_superuser(
    args: CreateSuperuserArgs,
    open_embedded: OpenEmbedded,
) -> Result<ExitStatus> {
    let CreateSuperuserArgs { email, user } = args;
    let address = email.map_or_else(prompt::address, Ok)?;
    let workspace = user.database.open(open_embedded).await?;
    let added = workspace.run(async |workspace| {
        // Checked first, so nobody types a password in vain.
        check_address_is_free(workspace, &address.canonical).await?;
        let password = if user.password_stdin {
            prompt::password_from_stdin()?
        } else {
            prompt::new_password()?
        };
        let new = NewUser {
            address,
            name: user.name,
            locale: user.locale,
            password: Some(password),
            is_superuser: true,
            is_active: true,
        };
        add(workspace, new).await
    });
    let added = added.await?;
    println!("added superuser {}", added.email.as_str());
    Ok(ExitStatus::Done)
}

async fn check_address_is_free(workspace: &Workspace, email: &EmailAddress) -> Result<()> {
    let (client, table) = (&workspace.connection.client, &workspace.names.users);
    accounts::require_email_key(table)?;
    if schema::exists(client, &table.name).await? {
        let users = Users::new(client.clone(), table.clone());
        if users.get(email).await?.is_some() {
            return Err(accounts::address_taken(email));
        }
    }
    Ok(())
}

async fn add_user(args: AddUserArgs, open_embedded: OpenEmbedded) -> Result<ExitStatus> {
    let AddUserArgs {
        email,
        superuser,
        inactive,
        user,
    } = args;
    let workspace = user.database.open(open_embedded).await?;
    let added = workspace.run(async |workspace| {
        let password = user.password_stdin.then(prompt::password_from_stdin);
        let new = NewUser {
            address: email,
            name: user.name,
            locale: user.locale,
            password: password.transpose()?,
            is_superuser: superuser,
            is_active: !inactive,
        };
        add(workspace, new).await
    });
    let added = added.await?;
    println!("added {}", added.email.as_str());
    Ok(ExitStatus::Done)
}

async fn add(workspace: &Workspace, new: NewUser) -> Result<User> {
    let (client, names) = (&workspace.connection.client, &workspace.names);
    if workspace.connection.is_aws {
        workspace.require(&names.users.name).await?;
    } else if !schema::exists(client, &names.users.name).await? {
        migrate::create_missing_tables(client, names).await?;
    }
    let lookup = |name: &str| workspace.setting(name);
    let rules = PasswordRules::read(&Environment::new(&lookup))?;
    accounts::add(client, &names.users, new, rules, now()).await
}

async fn list_users(args: ListUsersArgs, open_embedded: OpenEmbedded) -> Result<ExitStatus> {
    let workspace = args.database.open(open_embedded).await?;
    let mut listed = Vec::new();
    let skipped = workspace.run(async |workspace| {
        let users = workspace.users().await?;
        let keep = |user: &User| {
            listed.push(user.clone());
            Ok(())
        };
        accounts::for_each(&users, keep).await
    });
    let skipped = skipped.await?;
    if skipped > 0 {
        eprintln!("{}", accounts::describe_skipped(skipped));
    }
    match args.output.format {
        OutputFormat::Json => print_json(&listed.iter().map(accounts::to_json).collect())?,
        OutputFormat::Table => print_table(&listed)?,
    }
    Ok(ExitStatus::Done)
}

async fn show_user(args: ShowUserArgs, open_embedded: OpenEmbedded) -> Result<ExitStatus> {
    let email = args.email.canonical;
    let workspace = args.database.open(open_embedded).await?;
    let user =
        workspace.run(
            async |workspace| match workspace.users().await?.find(&email).await? {
                UserLookup::One(user) => Ok(user),
                UserLookup::Unknown => Err(no_user(&email)),
                UserLookup::Ambiguous => bail!(
                    "more than one user has the address {}; none of them can recover their account \
                 until your application makes the addresses unique",
                    email.as_str()
                ),
            },
        );
    let user = user.await?;
    match args.output.format {
        OutputFormat::Json => print_json(&accounts::to_json(&user))?,
        OutputFormat::Table => print_user(&user),
    }
    Ok(ExitStatus::Done)
}

async fn clear_suppression(
    args: ClearSuppressionArgs,
    open_embedded: OpenEmbedded,
) -> Result<ExitStatus> {
    let email = args.email.canonical;
    let workspace = args.database.open(open_embedded).await?;
    let was_suppressed = workspace.run(async |workspace| {
        match workspace.users().await?.clear_suppression(&email).await? {
            SuppressionClearing::Cleared => Ok(true),
            SuppressionClearing::NotSuppressed => Ok(false),
            SuppressionClearing::UnknownUser => Err(no_user(&email)),
        }
    });
    let address = email.as_str();
    if was_suppressed.await? {
        println!("{address} receives email again");
    } else {
        println!("{address} was not suppressed; nothing was changed");
    }
    Ok(ExitStatus::Done)
}

fn no_user(email: &EmailAddress) -> anyhow::Error {
    let address = email.as_str();
    NotFound(format!("there is no user with the address {address}")).into()
}

fn print_table(users: &[User]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if users.is_empty() {
        return writeln!(out, "there are no users; add one with `users add ADDRESS`");
    }
    let widths = users.iter().map(|user| user.mail_to.chars().count());
    let width = widths.max().unwrap_or(0).max(7);
    writeln!(
        out,
        "{:width$}  active  superuser  password changed      name",
        "address"
    )?;
    for user in users {
        writeln!(
            out,
            "{:width$}  {:6}  {:9}  {:20}  {}",
            user.mail_to,
            yes_no(user.is_active),
            yes_no(user.is_superuser),
            time(user.password_changed_at),
            user.name.as_deref().unwrap_or("-"),
        )?;
    }
    Ok(())
}

fn print_user(user: &User) {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    for (label, value) in [
        ("address", user.mail_to.clone()),
        ("key", user.email.as_str().to_owned()),
        ("user id", user.user_id.clone()),
        ("name", or_dash(&user.name)),
        ("language", or_dash(&user.locale)),
        ("active", yes_no(user.is_active).to_owned()),
        ("superuser", yes_no(user.is_superuser).to_owned()),
        ("created", time(user.created_at)),
        ("password changed", time(user.password_changed_at)),
        ("session epoch", user.session_epoch.to_string()),
        ("emails sent", user.recovery.email_count.to_string()),
    ] {
        println!("{label:16}  {value}");
    }
    for email in &user.recovery.emails {
        println!("{:16}  {}", "email", describe_email(email));
    }
    if let Some(suppression) = user.suppression() {
        println!(
            "{:16}  since {}: {}{}; resume with `users clear-suppression {}`",
            "suppressed",
            time(Some(suppression.at)),
            suppression.cause.describe(),
            in_parentheses(suppression.reason.as_deref()),
            user.email.as_str(),
        );
    }
}

fn describe_email(email: &SentEmail) -> String {
    let outcome = email.outcome.as_ref();
    format!(
        "{}  {:16}  {}{}",
        time(Some(email.at)),
        email.kind.as_str(),
        outcome.map_or("handed to SES", |outcome| outcome.state.describe()),
        in_parentheses(outcome.and_then(|outcome| outcome.reason.as_deref())),
    )
}

fn in_parentheses(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(" ({reason})"))
}
