//! Which server, how trusted, and as whom.

use crate::{
    address::Address,
    config::{self, Registration},
    connection::Connection,
    failure::Failure,
};
use app::rpc::{ErrorCode, methods::Credentials};
use std::{env::VarError, path::PathBuf};
use xapi::tls::Trust;

#[derive(clap::Args)]
pub struct Options {
    /// Server to use in place of the registered one; without XO_TOKEN nobody is signed in there [env: XO_URL]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// File of the registration [env: XO_CLI_CONFIG] [default: ~/.config/xo/cli.json]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub trust: TrustOptions,
    /// Give up after that time [default: wait as long as the server lives]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub timeout: Option<u64>,
}

#[derive(clap::Args)]
pub struct TrustOptions {
    /// Do not verify the server's certificate
    #[arg(long = "allowUnauthorized", aliases = ["allow-unauthorized", "au"])]
    allow_unauthorized: bool,
    /// Accept only the certificate with this SHA-256 fingerprint
    #[arg(long, value_name = "AA:BB:...", conflicts_with = "allow_unauthorized")]
    fingerprint: Option<String>,
}

impl TrustOptions {
    /// The system's authorities, when nothing is said.
    pub fn read(&self) -> Result<Trust, Failure> {
        match &self.fingerprint {
            Some(text) => fingerprint(text).map(Trust::Pinned),
            None if self.allow_unauthorized => Ok(Trust::Anyone),
            None => Ok(Trust::Authorities),
        }
    }
}

/// Where a command goes.
pub struct Target {
    pub address: Address,
    pub trust: Trust,
    token: Option<String>,
}

/// A variable that says something.
pub fn variable(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Failure::Usage(format!("{name} is no text"))),
    }
}

impl Options {
    pub fn config_path(&self) -> Result<PathBuf, Failure> {
        let by_variable = std::env::var_os("XO_CLI_CONFIG").filter(|path| !path.is_empty());
        match self.config.clone().or(by_variable.map(PathBuf::from)) {
            Some(path) => Ok(path),
            None => config::default_path(),
        }
    }

    pub fn target(&self) -> Result<Target, Failure> {
        let url = match &self.url {
            Some(url) => Some(url.clone()),
            None => variable("XO_URL")?,
        };
        let address = url.as_deref().map(Address::parse).transpose()?;
        let given = self.trust.read()?;
        let token = variable("XO_TOKEN")?;
        let registration = match &address {
            // All is said: a file, even a broken one, is of no interest.
            Some(_) if token.is_some() && given != Trust::Authorities => None,
            _ => config::load(&self.config_path()?)?,
        };
        let address = match (address, &registration) {
            (Some(address), _) => address,
            (None, Some(registration)) => registration.address()?,
            (None, None) => {
                return Err(Failure::Usage(
                    "no server is registered: xo register URL EMAIL".to_owned(),
                ));
            }
        };
        // A token, and a trust, are for the server that they were given for.
        let own = |registration: &Registration| registration.address().is_ok_and(|own| own == address);
        let registration = registration.filter(own);
        let trust = match (&registration, given) {
            (Some(registration), Trust::Authorities) => registration.trust(),
            (_, given) => given,
        };
        let token = token.or(registration.map(|registration| registration.token));
        Ok(Target {
            address,
            trust,
            token,
        })
    }
}

impl Target {
    /// Connected, and signed in where there is a token.
    pub async fn connect(&self) -> Result<Connection, Failure> {
        let mut connection = Connection::open(&self.address, &self.trust).await?;
        if let Some(token) = &self.token {
            let credentials = Credentials {
                token: Some(token.clone()),
                ..Credentials::default()
            };
            connection.sign_in(credentials).await.map_err(expired)?;
        }
        Ok(connection)
    }
}

fn expired(failure: Failure) -> Failure {
    match failure {
        Failure::Refused { method, mut error } if error.is(ErrorCode::INVALID_CREDENTIALS) => {
            error
                .message
                .push_str(": the token has expired or was deleted; xo register makes a new one");
            Failure::Refused { method, error }
        }
        other => other,
    }
}

/// `AA:BB:...`, however it was copied.
fn fingerprint(text: &str) -> Result<String, Failure> {
    let digits: Vec<char> = text.chars().filter(|c| !matches!(c, ':' | ' ')).collect();
    if digits.len() != 64 || !digits.iter().all(char::is_ascii_hexdigit) {
        return Err(Failure::Usage(format!(
            "--fingerprint {text}: 32 bytes in hexadecimal are expected, as AA:BB:..."
        )));
    }
    let bytes = digits
        .chunks(2)
        .map(|pair| pair.iter().collect::<String>().to_uppercase());
    Ok(bytes.collect::<Vec<_>>().join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_as_tools_print_them() {
        let plain = "0f".repeat(32);
        let expected = vec!["0F"; 32].join(":");
        for text in [plain.clone(), expected.clone(), expected.to_lowercase()] {
            assert_eq!(fingerprint(&text).expect("a fingerprint"), expected);
        }
        for wrong in ["", "0F", &plain.replace('f', "g")] {
            assert_eq!(fingerprint(wrong).expect_err(wrong).exit_code(), 2);
        }
    }
}
