//! Methods, and what they are given.

use crate::support::*;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_are_the_methods_of_the_server() {
    let server = TestServer::start().await;
    let home = Home::new();
    for url in [server.http(), server.tcp()] {
        home.register(&url).await;
        let listed = home.json(&["list-commands", "--json"]).await;
        assert_eq!(listed, home.json(&["system.getMethodsInfo"]).await);
        let names: Vec<_> = server.app.registry.iter().map(|method| method.name).collect();
        assert!(listed.as_object().expect("methods").keys().eq(names.iter()));
    }
    let some = home.json(&["list-commands", "--json", "tag.*", "vm.st?p"]).await;
    let names: Vec<_> = some.as_object().expect("methods").keys().collect();
    assert_eq!(names, ["tag.add", "tag.remove", "vm.stop"]);
    let ran = home.xo(&["--list-commands", "tag.add"]).await;
    assert_eq!(
        ran.out.lines().next(),
        Some("tag.add id=<string> tag=<string>"),
        "{ran:?}"
    );
    let ran = home.xo(&["tag.add", "--help"]).await;
    assert!(
        ran.code == 0 && ran.out.starts_with("tag.add id=<string>"),
        "{ran:?}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_all_kinds() {
    let server = TestServer::start().await;
    for url in [server.http(), server.tcp()] {
        let home = Home::new();
        home.register(&url).await;
        // Text stays as it is, in all its forms.
        let name = format!("a=b \"ü\" {}", url.len());
        let created = home
            .xo(&[
                "user.create",
                &format!("email={name}"),
                "password=12345",
                "permission=none",
            ])
            .await;
        assert_eq!(created.code, 0, "{created:?}");
        let id = created.out.trim_end().to_owned();
        assert!(!id.starts_with('"'), "scripts take ids as they are: {id}");
        let quoted = home
            .json(&["group.create", "--json", &format!("name=g{}", url.len())])
            .await;
        let group = quoted.as_str().expect("an id, quoted").to_owned();

        let id_given = format!("id={id}");
        // JSON, empty lists, booleans.
        home.json(&[
            "user.set",
            &id_given,
            "preferences=json:{\"lang\":\"fr\",\"n\":[1,null]}",
        ])
        .await;
        let users = home.json(&["user.getAll"]).await;
        let users = users.as_array().expect("users");
        let user = users
            .iter()
            .find(|user| user["id"] == id.as_str())
            .expect("the user");
        assert_eq!(user["email"], name);
        assert_eq!(user["preferences"], json!({ "lang": "fr", "n": [1, null] }));
        home.json(&["group.setUsers", &format!("id={group}"), "userIds=json:[]"])
            .await;
        // A number where only numbers are taken: as typed, or as JSON.
        for limit in ["limit=1", "limit=json:1"] {
            home.json(&["xo.getAllObjects", limit]).await;
        }
        home.json(&["token.create", "--json", "expiresIn=json:3600000"])
            .await;

        for (arguments, said) in [
            (
                vec!["user.set", &id_given, "colour=red"],
                "colour: is not a parameter here",
            ),
            (
                vec!["user.set", &id_given, "permission="],
                "permission: must NOT have fewer than 1 characters",
            ),
            (
                vec!["user.set", &id_given, "preferences=text"],
                "preferences: must be object",
            ),
            (vec!["user.set", "permission=none"], "id: is required"),
            (vec!["xo.getAllObjects", "limit=many"], "limit: must be number"),
            (vec!["xo.getAllObjects", "ndjson=1"], "ndjson: must be boolean"),
            (vec!["vm.start", "id=nothing"], "no such"),
            (vec!["vm.frobnicate", "n=1"], "vm.frobnicate"),
        ] {
            let ran = home.xo(&arguments).await;
            assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{arguments:?}: {ran:?}");
            assert!(ran.err.contains(said), "{arguments:?}: {ran:?}");
        }
        let ran = home.xo(&["user.set", "--json", &id_given, "colour=red"]).await;
        let error: serde_json::Value = serde_json::from_str(&ran.err).expect("JSON");
        assert_eq!(
            (ran.code, &error["error"]["code"], &error["method"]),
            (1, &json!(10), &json!("user.set"))
        );
        for (wrong, said) in [
            ("preferences=json:{", "preferences"),
            ("word", "word"),
            ("--force", "--force"),
        ] {
            let ran = home.xo(&["user.set", &id_given, wrong]).await;
            assert_eq!(ran.code, 2, "{ran:?}");
            assert!(ran.err.contains(said), "{ran:?}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn help_and_completion() {
    let home = Home::new();
    for (arguments, said) in [
        (vec!["--help"], "KEY=json:JSON"),
        (vec!["register", "--help"], "--allowUnauthorized"),
        (vec!["list-objects", "--help"], "name_label:web"),
        (vec!["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let ran = home.xo(&arguments).await;
        assert!(ran.code == 0 && ran.out.contains(said), "{arguments:?}: {ran:?}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let ran = home.xo(&["completion", shell]).await;
        assert!(ran.code == 0 && ran.out.contains("list-objects"), "{ran:?}");
    }
    assert_eq!(home.xo(&[]).await.code, 2);
}
