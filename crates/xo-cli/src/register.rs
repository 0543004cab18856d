//! `register` and `unregister`: a token of our own, made and taken back.

use crate::{
    address::Address,
    config::{self, Registration},
    connection::{Connection, DialError},
    failure::Failure,
    output,
    session::{Options, TrustOptions, variable},
};
use app::rpc::{
    ErrorCode,
    methods::{Credentials, NewToken, TokenCreate, TokenDeleteOwn, Tokens},
};
use std::io::{self, BufRead, IsTerminal, Read, Write};
use xapi::tls::Trust;

/// Longer than any password that a server takes.
const LONGEST_LINE: u64 = 4_096;

#[derive(clap::Args)]
pub struct Register {
    /// How long the registration is good, such as 1h or "30 days" [default: what the server decides]
    #[arg(long = "expiresIn", alias = "expires-in", value_name = "DURATION")]
    expires_in: Option<String>,
    /// One-time password, where two factors are needed
    #[arg(long, value_name = "CODE")]
    otp: Option<String>,
    /// Sign in with this token in place of a password [env: XO_TOKEN, when no EMAIL is given]
    #[arg(long, conflicts_with_all = ["email", "otp"])]
    token: Option<String>,
    #[command(flatten)]
    trust: TrustOptions,
    /// https://host, http://host:port, tls://host:port or tcp://host:port; https when nothing is said
    #[arg(value_name = "URL")]
    url: String,
    /// Name of the user [asked on the terminal]
    email: Option<String>,
    /// Better not here, where everybody on the machine can read it: it is taken from XO_PASSWORD, or read from
    /// standard input, or asked on the terminal
    #[arg(requires = "email", hide_default_value = true)]
    password: Option<String>,
}

pub async fn register(options: &Options, asked: Register) -> Result<(), Failure> {
    let address = Address::parse(&asked.url)?;
    let path = options.config_path()?;
    let before = config::load(&path)?;
    let expires_in = asked.expires_in.as_deref().map(duration);
    let trust = match asked.trust.read()? {
        Trust::Authorities => options.trust.read()?,
        said => said,
    };
    // A certificate that was pinned stays pinned, until another is named.
    let trust = match (trust, &before) {
        (Trust::Authorities, Some(before))
            if before.server == address.to_string() && before.fingerprint.is_some() =>
        {
            before.trust()
        }
        (trust, _) => trust,
    };
    // Before a password is asked for, and the certificate before the password is sent.
    let (probe, trust) = reach(&address, trust).await?;
    match &probe.fingerprint {
        Some(fingerprint) if trust == Trust::Anyone => {
            output::note(&format!(
                "the certificate is not verified; its fingerprint is {fingerprint}"
            ));
        }
        None if !is_loopback(address.host()) => output::note("the connection is not encrypted"),
        Some(_) | None => {}
    }
    probe.close().await;

    let credentials = credentials(asked).await?;
    let mut connection = Connection::open(&address, &trust).await?;
    let user = connection.sign_in(credentials).await.map_err(with_hint)?;
    let new = NewToken {
        description: Some("xo, the command-line client".to_owned()),
        expires_in,
    };
    let token = connection.typed::<TokenCreate>(new).await?;
    let mut registration = Registration {
        server: address.to_string(),
        token: token.clone(),
        allow_unauthorized: false,
        fingerprint: None,
    };
    registration.set_trust(&trust);
    let saved = config::save(&path, &registration);
    // A token that nobody holds is taken back: the new one when it could not be kept, else the one it replaces.
    let orphan = match (&saved, before) {
        (Err(_), _) => Some(token),
        (Ok(()), Some(before)) if before.server == registration.server => Some(before.token),
        (Ok(()), _) => None,
    };
    if let Some(orphan) = orphan
        && let Err(error) = connection
            .typed::<TokenDeleteOwn>(Tokens { tokens: vec![orphan] })
            .await
    {
        output::note(&format!(
            "a token that is not needed any more stays on the server: {error}"
        ));
    }
    connection.close().await;
    saved?;
    output::note(&format!(
        "registered with {address} as {} ({})",
        user.email,
        path.display()
    ));
    Ok(())
}

/// A connection, and the trust that it needed: a certificate that no authority vouches for can be pinned.
async fn reach(address: &Address, trust: Trust) -> Result<(Connection, Trust), Failure> {
    let DialError { failure, fingerprint } = match Connection::open(address, &trust).await {
        Ok(connection) => return Ok((connection, trust)),
        Err(error) => error,
    };
    let (Trust::Authorities, Some(fingerprint)) = (&trust, fingerprint.clone()) else {
        return Err(DialError { failure, fingerprint }.into());
    };
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        let fingerprint = Some(fingerprint);
        return Err(DialError { failure, fingerprint }.into());
    }
    output::note(&failure.to_string());
    let question = format!(
        "The fingerprint (SHA-256) of its certificate is\n  {fingerprint}\nCompare it with the server's. Trust exactly this one? [y/N] "
    );
    match ask(question).await?.to_lowercase().as_str() {
        "y" | "yes" => {
            let trust = Trust::Pinned(fingerprint);
            Ok((Connection::open(address, &trust).await?, trust))
        }
        _ => Err(Failure::Connection(format!(
            "no connection to {address}: its certificate is not trusted"
        ))),
    }
}

async fn credentials(asked: Register) -> Result<Credentials, Failure> {
    let token = match (&asked.email, asked.token) {
        (None, None) => variable("XO_TOKEN")?,
        (_, token) => token,
    };
    if token.is_some() {
        return Ok(Credentials {
            token,
            ..Credentials::default()
        });
    }
    let email = match asked.email {
        Some(email) => email,
        None if io::stdin().is_terminal() => ask("User: ".to_owned()).await?,
        None => {
            return Err(Failure::Usage(
                "who? give EMAIL after the URL, or --token".to_owned(),
            ));
        }
    };
    let password = match asked.password {
        Some(password) => password,
        None => match variable("XO_PASSWORD")? {
            Some(password) => password,
            None => password().await?,
        },
    };
    if password.is_empty() {
        return Err(Failure::Usage("the password is empty".to_owned()));
    }
    Ok(Credentials {
        email: Some(email),
        password: Some(password),
        otp: asked.otp,
        token: None,
    })
}

/// From the terminal without an echo, or the first line of what comes.
async fn password() -> Result<String, Failure> {
    blocking(|| {
        if io::stdin().is_terminal() {
            rpassword::prompt_password("Password: ")
        } else {
            first_line()
        }
    })
    .await
}

async fn ask(question: String) -> Result<String, Failure> {
    blocking(move || {
        let mut err = io::stderr().lock();
        err.write_all(question.as_bytes())?;
        err.flush()?;
        first_line().map(|line| line.trim().to_owned())
    })
    .await
}

fn first_line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().take(LONGEST_LINE).read_line(&mut line)?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

async fn blocking(read: impl FnOnce() -> io::Result<String> + Send + 'static) -> Result<String, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Here(format!("the input cannot be read: {error}"));
    let read = tokio::task::spawn_blocking(read).await;
    read.map_err(|error| failed(&error))?
        .map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => Failure::Interrupted,
            _ => failed(&error),
        })
}

/// A number is one of milliseconds; the server reads the rest.
fn duration(text: &str) -> serde_json::Value {
    match text.parse::<u64>() {
        Ok(ms) => ms.into(),
        Err(_) => text.into(),
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn with_hint(failure: Failure) -> Failure {
    match failure {
        Failure::Refused { method, mut error } if error.is(ErrorCode::INVALID_CREDENTIALS) => {
            error
                .message
                .push_str(": name, password, or the one-time password (--otp) is wrong");
            Failure::Refused { method, error }
        }
        other => other,
    }
}

/// Deletes the token on the server, then forgets it.
pub async fn unregister(options: &Options, force: bool) -> Result<(), Failure> {
    let path = options.config_path()?;
    let Some(registration) = config::load(&path)? else {
        output::note("nothing is registered");
        return Ok(());
    };
    if !force {
        let taken_back = take_back(&registration).await;
        match taken_back {
            // It has expired, or was deleted there.
            Err(failure) if failure.is(ErrorCode::INVALID_CREDENTIALS) => {}
            Err(failure @ Failure::Connection(_)) => {
                return Err(Failure::Connection(format!(
                    "{failure}\n  the token stays valid there; `xo unregister --force` forgets it here nevertheless"
                )));
            }
            other => other?,
        }
    }
    config::remove(&path)
}

async fn take_back(registration: &Registration) -> Result<(), Failure> {
    let mut connection = Connection::open(&registration.address()?, &registration.trust()).await?;
    let token = registration.token.clone();
    let credentials = Credentials {
        token: Some(token.clone()),
        ..Credentials::default()
    };
    connection.sign_in(credentials).await?;
    // The session ends with its token, perhaps before the answer is here.
    match connection
        .typed::<TokenDeleteOwn>(Tokens { tokens: vec![token] })
        .await
    {
        Err(Failure::Connection(_)) => {
            let mut connection = Connection::open(&registration.address()?, &registration.trust()).await?;
            let credentials = Credentials {
                token: Some(registration.token.clone()),
                ..Credentials::default()
            };
            match connection.sign_in(credentials).await {
                Err(failure) if failure.is(ErrorCode::INVALID_CREDENTIALS) => Ok(()),
                Err(failure) => Err(failure),
                Ok(_) => Err(Failure::Connection(
                    "the server did not delete the token".to_owned(),
                )),
            }
        }
        other => other.map(|_| ()),
    }
}
