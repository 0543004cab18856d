//! The program itself: killed while it writes, and started wrongly.

use crate::{kill, redis_server::RedisServer, support::*};
use serde_json::json;
use std::{net::TcpListener, path::Path};
use tokio::process::Command;

/// A start that fails: all that it printed.
async fn fails(mut command: Command) -> String {
    let output = tokio::time::timeout(DEADLINE, command.output()).await;
    let output = output.expect("it ends by itself").expect("it ran");
    assert!(!output.status.success());
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).expect("text")
}

#[tokio::test]
async fn a_first_start_that_fails_does_not_use_up_the_password() {
    let folder = Folder::new();
    let data = folder.0.join("data");
    let occupied = TcpListener::bind("127.0.0.1:0").expect("a port");
    let occupied = occupied
        .local_addr()
        .map(|address| (occupied, address.to_string()));
    let (_occupied, address) = occupied.expect("an address");
    let free = "127.0.0.1:0";
    let unreadable = folder.0.join("config.toml");
    std::fs::write(&unreadable, "lisen = 1").expect("written");
    let mut failing = vec![
        command(&data, &address),
        command(&data, free),
        command(&data, free),
        command(&data, free),
        command(&data, free),
    ];
    failing[1].arg("--config").arg(&unreadable);
    failing[2].arg("--config").arg(folder.0.join("missing.toml"));
    failing[3].env("XO_FIRST_SERVERS", "no server at all");
    let unreadable: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff");
    failing[4].env("XO_ADMIN_PASSWORD", unreadable);
    for command in failing {
        let said = fails(command).await;
        assert!(
            !said.contains("password ") || said.contains("user:password@host"),
            "{said}"
        );
        assert!(!said.contains("administrator"), "{said}");
    }
    // The folder may be there, with a key that others can read.
    std::fs::create_dir_all(&data).expect("a folder");
    let key = data.join("key");
    std::fs::write(&key, [7; 32]).expect("written");
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&key, readable).expect("changed");
    let said = fails(command(&data, free)).await;
    assert!(
        said.contains("chmod 600") && !said.contains("administrator"),
        "{said}"
    );
    std::fs::remove_file(&key).expect("removed");

    let mut program = Program::start(command(&data, free)).await;
    let line = program
        .lines
        .next_line()
        .await
        .expect("readable")
        .expect("a line");
    let (_, password) = line.rsplit_once(' ').expect("a password");
    let mut client = Client::connect(program.address, &[]).await.expect("connected");
    client
        .ok("session.signIn", json!({ "email": EMAIL, "password": password }))
        .await;
    program.kill().await;

    let mut program = Program::start(command(&data, free)).await;
    let mut client = Client::connect(program.address, &[]).await.expect("connected");
    client
        .ok("session.signIn", json!({ "email": EMAIL, "password": password }))
        .await;
    program.child.start_kill().expect("killed");
    let mut rest = Vec::new();
    while let Some(line) = program.lines.next_line().await.expect("readable") {
        rest.push(line);
    }
    assert!(rest.is_empty(), "the password is printed once: {rest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    kill::rounds(15, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_of_server_and_redis() {
    kill::rounds(12, Some(RedisServer::start().await)).await;
}

#[tokio::test]
async fn others_cannot_read_the_store_and_folders_that_are_there_stay_as_they_are() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| {
        let metadata = std::fs::metadata(path).expect("there");
        metadata.permissions().mode() & 0o777
    };
    let folder = Folder::new();
    let (shared, made) = (folder.0.join("shared"), folder.0.join("deep/made"));
    std::fs::create_dir_all(&shared).expect("made");
    std::fs::set_permissions(&shared, PermissionsExt::from_mode(0o755)).expect("changed");
    for (data, expected) in [(&shared, 0o755), (&made, 0o700)] {
        let program = Program::start(command(data, "127.0.0.1:0")).await;
        assert_eq!(mode(data), expected, "{}", data.display());
        for file in ["xo.redb", "key"] {
            assert_eq!(mode(&data.join(file)), 0o600, "{file}");
        }
        program.kill().await;
    }
}

#[tokio::test]
async fn a_redis_that_cannot_be_used_is_told_without_its_password() {
    let folder = Folder::new();
    let redis = RedisServer::start_with("--requirepass s3cret").await;
    let socket = redis.socket();
    let on_line = {
        let mut command = command(&folder.0, "127.0.0.1:0");
        command.args(["--redis-uri", "redis://:gu3ss@127.0.0.1:1/0"]);
        command
    };
    let wrong = {
        let mut command = command(&folder.0, "127.0.0.1:0");
        let uri = format!("unix://{}?pass=gu3ss", socket.display());
        command.env("XO_REDIS_URI", uri);
        command
    };
    let both = {
        let mut command = command(&folder.0, "127.0.0.1:0");
        let file = folder.0.join("xo.toml");
        let text = "[redis]\nuri = \"redis://127.0.0.1:1\"\nsocket = \"/nowhere\"\npassword = \"gu3ss\"\n";
        std::fs::write(&file, text).expect("written");
        command.arg("--config").arg(file);
        command
    };
    for (command, what) in [
        (on_line, "a command line is seen by everybody"),
        (wrong, "Password authentication failed"),
        (both, "one of them is needed"),
    ] {
        let said = fails(command).await;
        assert!(said.contains(what) && !said.contains("gu3ss"), "{said}");
        assert!(!said.contains("administrator"), "{said}");
    }

    let mut right = command(&folder.0, "127.0.0.1:0");
    right.arg("--redis-socket").arg(&socket);
    right.env("XO_REDIS_PASSWORD", "s3cret").env("XO_LOG", "off");
    let program = Program::start(right).await;
    assert!(!folder.0.join("xo.redb").exists());
    program.kill().await;
}
