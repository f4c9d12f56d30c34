//! What an agent can see and reach.

use std::path::PathBuf;

use runner::agent::{AgentOutcome, CommandAgent, PromptBy};
use runner::{GatewayBridge, Kind, SessionOutcome, probe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Bench, said};

/// Runs a script in bubblewrap and returns what it said; it must end well.
async fn inside(bench: &Bench, script: &str) -> String {
    let (end, events) = bench.script(Kind::Bubblewrap, script).await;
    assert!(
        matches!(end.outcome, SessionOutcome::Ended(AgentOutcome::Succeeded { .. })),
        "{:?} {}",
        end.outcome,
        end.stderr_tail
    );
    said(&events)
}

#[tokio::test]
async fn the_probe_finds_bubblewrap_working() {
    let probed = probe(Kind::Bubblewrap).await;
    assert!(probed.works, "{:?}; run: {:?}", probed.reason, probed.mend);
    assert!(probed.level.network_closed && probed.level.processes_contained);
    let none = probe(Kind::None).await;
    assert!(none.works && !none.level.files_hidden && none.reason.is_some());
}

#[tokio::test]
async fn a_listener_of_the_host_is_out_of_reach() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let script = format!(
        "(exec 3<>/dev/tcp/127.0.0.1/{}) 2>/dev/null && echo reached || echo closed",
        listener.local_addr().unwrap().port()
    );
    assert_eq!(inside(&Bench::new(), &script).await, "closed");
    let (_, events) = Bench::new().script(Kind::None, &script).await;
    assert_eq!(said(&events), "reached", "the listener was not there");
}

#[tokio::test]
async fn files_of_the_host_are_out_of_sight() {
    let bench = Bench::new();
    let secret = bench.folder.path().join("secret.txt");
    std::fs::write(&secret, "secret").unwrap();
    let script = format!(
        "for path in {} /root /home/agent/.ssh /etc/shadow /etc/hostname /sys /var /opt; do \
         test -e $path && echo $path; done; \
         ls -A /tmp; id -un; pwd",
        secret.display()
    );
    assert_eq!(inside(&bench, &script).await, "agent\n/checkout");
}

#[tokio::test]
async fn nothing_of_the_environment_is_inherited() {
    // Cargo sets many variables for its tests, this one among them.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    for kind in [Kind::Bubblewrap, Kind::None] {
        let (_, events) = Bench::new().script(kind, "env | cut -d= -f1 | sort | tr '\\n' ' '").await;
        assert_eq!(said(&events).trim(), "CCM_RUN HOME LANG LOGNAME PATH PWD SHELL SHLVL TERM USER _", "{kind}");
    }
}

#[tokio::test]
async fn read_only_means_read_only_and_the_checkout_is_writable() {
    let mut bench = Bench::new();
    let objects = bench.folder.path().join("objects");
    std::fs::create_dir(&objects).unwrap();
    std::fs::write(objects.join("pack"), "objects").unwrap();
    bench.confinement.read_only.push(objects.clone());
    let script = format!(
        "cat {0}/pack; echo; for path in {0}/pack /usr/x /proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches; do \
         (: >> $path) 2>/dev/null && echo \"wrote $path\"; done; touch new.txt $HOME/kept.txt && echo both",
        objects.display()
    );
    assert_eq!(inside(&bench, &script).await, "objects\nboth");
    assert!(bench.checkout().join("new.txt").exists());
    assert!(bench.folder.path().join("home/kept.txt").exists());
}

#[tokio::test]
async fn nothing_of_the_kernel_can_be_written_and_no_power_is_left() {
    let script = "find /proc -maxdepth 4 -path '/proc/[0-9]*' -prune -o -path '/proc/self*' -prune -o \
         -path '/proc/thread-self*' -prune -o -writable -exec test -f {} \\; -print 2>/dev/null; \
         grep -h CapEff /proc/self/status; id -u";
    assert_eq!(inside(&Bench::new(), script).await, "CapEff:\t0000000000000000\n1000");
}

#[tokio::test]
async fn memory_is_bounded() {
    let mut bench = Bench::new();
    bench.confinement.memory = 256 << 20;
    for kind in [Kind::Bubblewrap, Kind::None] {
        let script = "head -c 1G /dev/zero | tail -c 1G | wc -c; test ${PIPESTATUS[1]} -ne 0 && echo refused";
        let (_, events) = bench.script(kind, script).await;
        assert!(said(&events).ends_with("refused"), "{kind}: {}", said(&events));
    }
}

#[tokio::test]
async fn tools_outside_usr_are_bound_where_they_are_and_on_the_path() {
    let mut bench = Bench::new();
    let tools = bench.folder.path().join("tools");
    std::fs::create_dir_all(tools.join("bin")).unwrap();
    std::fs::create_dir_all(bench.folder.path().join(".rustup")).unwrap();
    std::fs::write(tools.join("bin/greet"), "#!/bin/sh\necho \"hello from $0\"\n").unwrap();
    std::fs::set_permissions(tools.join("bin/greet"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    bench.confinement.toolchains.paths = vec![tools.clone(), bench.folder.path().join(".rustup")];
    bench.confinement.toolchains.env = vec![("CARGO_NET_OFFLINE".into(), "true".into())];
    let heard = inside(
        &bench,
        "greet; echo $RUSTUP_HOME $CARGO_NET_OFFLINE; touch $(dirname $(command -v greet))/x 2>&1; true",
    )
    .await;
    assert!(heard.starts_with(&format!("hello from {}/bin/greet\n", tools.display())), "{heard}");
    assert!(heard.contains("/.rustup true"), "{heard}");
    assert!(heard.contains("Read-only"), "{heard}");
}

#[tokio::test]
async fn the_bridge_leads_to_the_gateways_socket_and_nowhere_else() {
    let mut bench = Bench::new();
    let socket = bench.folder.path().join("gateway.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let echo = tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut heard = [0; 6];
                connection.read_exact(&mut heard).await.unwrap();
                connection.write_all(&heard).await.unwrap();
                connection.write_all(b" back\n").await.unwrap();
            });
        }
    });
    let program = PathBuf::from(env!("CARGO_BIN_EXE_ccm-sandbox-bridge"));
    bench.confinement.gateway = Some(GatewayBridge { socket, program });
    let ask = "exec 3<>/dev/tcp/127.0.0.1/9901; printf 'knock%s' $1 >&3; read -r answer <&3; echo \"$answer\"";
    let script = format!("for i in 1 2; do bash -c '{ask}' sh $i; done; echo $CCM_GATEWAY_URL; exit 0");
    assert_eq!(inside(&bench, &script).await, "knock1 back\nknock2 back\nhttp://127.0.0.1:9901");
    // The bridge ends with its child and hands on the code.
    let (end, _) = bench.script(Kind::Bubblewrap, "exit 7").await;
    assert_eq!(end.exit.unwrap().code, Some(7));
    let (end, _) = bench.script(Kind::Bubblewrap, "kill -KILL $$").await;
    assert_eq!(end.exit.unwrap().ended_by_signal(), Some(9));
    echo.abort();
}

#[tokio::test]
async fn an_agent_anywhere_on_the_host_is_found_through_its_link() {
    let bench = Bench::new();
    let real = bench.folder.path().join("agent-1.2.sh");
    std::fs::write(&real, "#!/bin/sh\necho ran as $0\n").unwrap();
    std::fs::set_permissions(&real, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let link = bench.folder.path().join("agent");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let (_, events) = bench.run(Kind::Bubblewrap, Box::new(CommandAgent::new(&link, vec![], PromptBy::Stdin))).await;
    assert_eq!(said(&events), format!("ran as {}", link.display()));
}
