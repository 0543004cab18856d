//! session.*: who am I (contract/protocol.md section 3).

use crate::{
    auth::{SignInError, SignedIn},
    rpc::{
        error::Failure,
        registry::{Call, Caller, Method, Outcome, Permission},
    },
};

pub fn methods() -> Vec<Method> {
    vec![
        Method::new(
            "session.signIn",
            Permission::Public,
            "sign in with a password or a token",
            sign_in,
        )
        .reads(),
        Method::new(
            "session.signInWithPassword",
            Permission::Public,
            "deprecated, use session.signIn",
            sign_in,
        )
        .reads(),
        Method::new(
            "session.signInWithToken",
            Permission::Public,
            "deprecated, use session.signIn",
            sign_in,
        )
        .reads(),
        Method::new(
            "session.signInWithCookie",
            Permission::Public,
            "sign in with the cookie that came with a same-origin WebSocket upgrade",
            sign_in_with_cookie,
        )
        .reads(),
        Method::new("session.signOut", Permission::SignedIn, "sign out", sign_out),
        Method::new(
            "session.getUser",
            Permission::Public,
            "return the currently connected user",
            get_user,
        )
        .reads(),
    ]
}

/// No schema in today's product either: a name, an address or a token; what else came is for plugins.
async fn sign_in(call: Call) -> Result<Outcome, Failure> {
    let (accounts, address) = (&call.app.accounts, &call.connection.address);
    let name = call.text("email").or(call.text("username"));
    let (how, result) = match (call.text("token"), name, call.text("password")) {
        // A name beside a token is of no use, and does no harm.
        (Some(token), _, None) => ("token", accounts.sign_in_with_token(token, address).await),
        (_, Some(name), Some(password)) => {
            let otp = call.text("otp");
            let result = accounts.sign_in_with_password(name, password, otp, address).await;
            ("password", result)
        }
        _ => return Err(SignInError::InvalidCredentials.into()),
    };
    let result = result.and_then(|signed_in| place(&call, signed_in));
    call.app.note_sign_in(name, address, how, &result).await;
    welcome(&call, result?).await
}

/// One user does not take everybody's places.
fn place(call: &Call, signed_in: SignedIn) -> Result<SignedIn, SignInError> {
    let most = call.app.limits.sessions;
    if call.app.connections.of_user(&signed_in.user_id) >= most {
        return Err(SignInError::TooManySessions(most));
    }
    Ok(signed_in)
}

async fn sign_in_with_cookie(call: Call) -> Result<Outcome, Failure> {
    let token = call
        .connection
        .cookie
        .as_deref()
        .ok_or(SignInError::InvalidCredentials)?;
    let address = &call.connection.address;
    let result = call.app.accounts.sign_in_with_token(token, address).await;
    let result = result.and_then(|signed_in| place(&call, signed_in));
    call.app.note_sign_in(None, address, "cookie", &result).await;
    welcome(&call, result?).await
}

async fn welcome(call: &Call, signed_in: SignedIn) -> Result<Outcome, Failure> {
    let user = call.public_user(&signed_in.user_id)?;
    let (access, inventory) = (&call.app.access, &call.app.inventory);
    // Signed in before it is watched for: what somebody sees who is not there is forgotten.
    call.connection.sign_in(signed_in.clone(), inventory.revision());
    if let Some(record) = call.app.accounts.user(&user.id) {
        access.watch(&Caller {
            id: user.id.clone(),
            record,
        });
        // What changes from here on is to be told.
        call.connection.begin_at(inventory.revision());
    }
    // Whoever took the token away did not find this session, or finds it now.
    let opens = call.app.accounts.still_opens(&signed_in).await;
    if !matches!(opens, Ok(true)) {
        call.connection.sign_out();
    }
    if !opens? {
        return Err(SignInError::InvalidCredentials.into());
    }
    Outcome::of(user)
}

async fn sign_out(call: Call) -> Result<Outcome, Failure> {
    call.connection.sign_out();
    call.app.downloads.end_session(call.connection.id);
    call.app.uploads.end_session(call.connection.id);
    Outcome::done()
}

async fn get_user(call: Call) -> Result<Outcome, Failure> {
    let id = call.caller()?.id.clone();
    Outcome::of(call.public_user(&id)?)
}
