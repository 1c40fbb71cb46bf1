//! Names whose addresses are not what they were, or not what they say: on a machine whose server of names, public
//! addresses and loopback are all our own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use toolhost::{Manifest, ToolHost, ToolResult};
use toolhost_testing::http::{Server, page};

use super::resolver::{Resolver, Said};
use crate::common::binary::{Folder, listed, run};
use crate::common::namespace::is_inside;
use crate::common::{call, error, guest, load, text, try_load};

/// Public, as far as anybody can tell.
const PUBLIC: &str = "93.184.215.14";
const PUBLIC_V6: &str = "2606:2800:21f:cb07:6820:80da:af6b:8b2c";

/// Names are asked for at 127.0.0.1, and no file has any: not even `localhost`.
const PREPARE: &str = "
    ip address add 93.184.215.14/32 dev lo
    ip address add 2606:2800:21f:cb07:6820:80da:af6b:8b2c/128 dev lo nodad
    mount -t tmpfs names /mnt
    printf 'nameserver 127.0.0.1\\noptions timeout:1 attempts:1\\n' >/mnt/resolv.conf
    echo 'hosts: files dns' >/mnt/nsswitch.conf
    : >/mnt/hosts
    for file in resolv.conf nsswitch.conf hosts; do
        mount --bind /mnt/$file /etc/$file
    done";

struct Network {
    resolver: Resolver,
    public: [Server; 2],
    here: [Server; 2],
}

/// Servers of the web at public addresses and at this machine, and one of names that says so of them.
fn network(of: impl Fn(&str, usize) -> Option<Vec<Said>> + Send + 'static) -> Network {
    let at = |address: &str, says: &'static str| {
        Server::start_at(address, move |_, client| page(client, "200", "", says))
            .unwrap_or_else(|error| panic!("{address}: {error}"))
    };
    Network {
        resolver: Resolver::start(of),
        public: [
            at(&format!("{PUBLIC}:80"), "public"),
            at(&format!("[{PUBLIC_V6}]:80"), "public"),
        ],
        here: [at("127.0.0.1:80", "here"), at("[::1]:80", "here")],
    }
}

impl Network {
    fn seen(servers: &[Server]) -> Vec<String> {
        servers.iter().flat_map(Server::take).collect()
    }
}

fn addresses(addresses: &[&str]) -> Option<Vec<Said>> {
    let said = |it: &&str| Said::Address(it.parse::<IpAddr>().unwrap());
    Some(addresses.iter().map(said).collect())
}

fn hostile(permissions: &str) -> String {
    let path = guest("hostile");
    format!(
        "[plugin.hostile]\npath = '{}'\ntimeout = '5s'\n{permissions}\n",
        path.display()
    )
}

async fn of(manifest: &str) -> ToolHost {
    load(Manifest::parse(manifest, "toolhost.toml").unwrap()).await
}

async fn get(host: &ToolHost, name: &str) -> ToolResult {
    host.call(call("get", json!({ "url": format!("http://{name}/") })))
        .await
}

#[tokio::test]
async fn request_goes_to_the_checked_address_despite_rebinding() {
    let test = "hostile::rebinding::\
        request_goes_to_the_checked_address_despite_rebinding";
    if !is_inside(test, PREPARE) {
        return;
    }
    let network = network(|name, before| match name {
        "steady.test" => addresses(&[PUBLIC]),
        "steady6.test" => addresses(&[PUBLIC_V6]),
        // As who rebinds answers: the first time so that it is let through.
        "rebinds.test" if before == 0 => addresses(&[PUBLIC]),
        "rebinds.test" => addresses(&["127.0.0.1"]),
        "mixed.test" => addresses(&[PUBLIC, "127.0.0.1"]),
        "mixed-last.test" => addresses(&[PUBLIC, PUBLIC_V6, "::1"]),
        "mapped.test" => addresses(&["::ffff:127.0.0.1"]),
        "nat64.test" => addresses(&["64:ff9b::7f00:1"]),
        "6to4.test" => addresses(&["2002:7f00:1::"]),
        "zero.test" => addresses(&["0.0.0.0"]),
        "zero6.test" => addresses(&["::"]),
        "metadata.test" => addresses(&["169.254.169.254"]),
        "alias.test" => Some(vec![
            Said::Alias("localhost"),
            Said::Address("127.0.0.1".parse().unwrap()),
        ]),
        "alias-of-nothing.test" => Some(vec![Said::Alias("localhost")]),
        "nothing.test" => addresses(&[]),
        _ => None,
    });
    let host = of(&hostile("permissions.http = ['http://*.test']")).await;

    for name in ["steady.test", "steady6.test", "steady.test"] {
        assert_eq!(
            text(&get(&host, name).await),
            "status: 200\npublic",
            "{name}"
        );
    }
    assert_eq!(
        text(&get(&host, "rebinds.test").await),
        "status: 200\npublic"
    );
    assert_eq!(
        network.resolver.asked("rebinds.test"),
        1,
        "it is looked up once"
    );
    assert_eq!(Network::seen(&network.public).len(), 4);

    for (name, address, kind) in [
        ("rebinds.test", "127.0.0.1", "loopback"),
        ("mixed.test", "127.0.0.1", "loopback"),
        ("mixed-last.test", "::1", "loopback"),
        ("mapped.test", "::ffff:127.0.0.1", "loopback"),
        ("nat64.test", "64:ff9b::7f00:1", "loopback"),
        ("6to4.test", "2002:7f00:1::", "loopback"),
        ("zero.test", "0.0.0.0", "unspecified"),
        ("zero6.test", "::", "unspecified"),
        ("metadata.test", "169.254.169.254", "link-local"),
        ("alias.test", "127.0.0.1", "loopback"),
    ] {
        let result = get(&host, name).await;
        let said = error(&result).to_string();
        let expected =
            format!("not permitted: http request to {name}: {address} is a {kind} address");
        assert!(said.starts_with(&expected), "{said}");
    }
    for name in ["alias-of-nothing.test", "nothing.test"] {
        let result = get(&host, name).await;
        assert_eq!(error(&result).code(), "failed", "{name}: {result:?}");
    }
    assert_eq!(Network::seen(&network.here), Vec::<String>::new());
    assert_eq!(Network::seen(&network.public), Vec::<String>::new());
}

#[tokio::test]
async fn silent_resolver_ends_at_the_deadline() {
    let test = "hostile::rebinding::\
        silent_resolver_ends_at_the_deadline";
    if !is_inside(test, PREPARE) {
        return;
    }
    let network = network(|name, _| match name {
        "steady.test" => addresses(&[PUBLIC]),
        _ => None,
    });
    let host = of(&hostile("permissions.http = ['http://*.test']").replace("5s", "300ms")).await;
    let silent = get(&host, "silent.test");
    let (silent, steady) = tokio::join!(silent, get(&host, "steady.test"));
    assert_eq!(error(&silent).code(), "timeout", "{silent:?}");
    assert!(network.resolver.asked("silent.test") > 0);
    assert_eq!(text(&steady), "status: 200\npublic");
}

#[tokio::test]
async fn a_socket_goes_where_its_name_led_when_the_guest_asked() {
    let test = "hostile::rebinding::a_socket_goes_where_its_name_led_when_the_guest_asked";
    if !is_inside(test, PREPARE) {
        return;
    }
    let network = network(|name, before| match name {
        "db.test" if before == 0 => addresses(&[PUBLIC]),
        "db.test" => addresses(&["127.0.0.1"]),
        "localhost" => addresses(&[PUBLIC, "127.0.0.1"]),
        _ => None,
    });
    let host = of(&hostile(
        "permissions.sockets = ['db.test:80', 'localhost:80']",
    ))
    .await;
    let tcp = async |address: &str| host.call(call("tcp", json!({ "address": address }))).await;
    let result = host
        .call(call("resolve", json!({ "name": "db.test" })))
        .await;
    assert!(text(&result).contains("93"), "{result:?}");
    // Another call has looked up nothing.
    for address in ["127.0.0.1:80", &format!("{PUBLIC}:80")] {
        let result = tcp(address).await;
        assert_eq!(error(&result).code(), "denied", "{address}: {result:?}");
    }
    // `localhost` is this machine, whatever else it resolves to.
    let names = json!({ "name": "localhost", "port": 80 });
    let result = host.call(call("tcp_name", names)).await;
    assert!(!format!("{result:?}").contains("public"), "{result:?}");
    assert_eq!(Network::seen(&network.public), Vec::<String>::new());
}

/// The names that secrets go to without TLS, as names of this machine.
#[tokio::test]
async fn localhost_stays_local_whatever_the_resolver_says() {
    let test = "hostile::rebinding::\
        localhost_stays_local_whatever_the_resolver_says";
    if !is_inside(test, PREPARE) {
        return;
    }
    let elsewhere = Arc::new(Mutex::new(true));
    let is_elsewhere = elsewhere.clone();
    let network = network(move |name, _| match name {
        "half.localhost" => addresses(&["127.0.0.1", PUBLIC]),
        "localhost" | "api.localhost" | "mcp.localhost" | "id.localhost" => {
            addresses(match *is_elsewhere.lock().unwrap() {
                true => &[PUBLIC],
                false => &["127.0.0.1"],
            })
        }
        _ => None,
    });
    let folder = Folder::empty();
    folder.write("token", "s3cr3t-T0ken");
    let manifest = |text: &str| Manifest::read(folder.write("toolhost.toml", text)).unwrap();

    // What the host adds to a guest's requests.
    let header = hostile(
        "permissions.http = ['http://localhost:80', 'http://half.localhost:80']
         permissions.secrets = { T = { file = 'token' } }
         permissions.http-headers = [{ host = 'localhost', name = 'authorization', value = 'Bearer ${T}' }]",
    );
    let host = load(manifest(&header)).await;
    for name in ["localhost", "half.localhost"] {
        let result = get(&host, name).await;
        let said = error(&result).to_string();
        let expected = format!("http request to {name}: {PUBLIC} is a remote address");
        assert!(said.contains(&expected), "{said}");
    }

    // An MCP server with a token.
    let server = "[mcp.x]\nurl = 'http://mcp.localhost/mcp'\ntoken = { file = 'token' }\nstart-timeout = '5s'\n";
    let said = try_load(manifest(server)).await.unwrap_err().to_string();
    assert!(said.contains("not this machine"), "{said}");

    // The model, with a key.
    folder.write("toolhost.toml", "");
    let ask = [
        "agent",
        "--provider",
        "openai-chat",
        "--model",
        "m",
        "--base-url",
        "http://api.localhost/v1",
        "hi",
    ];
    let mut agent = folder.command(&ask);
    agent.env("OPENAI_API_KEY", "s3cr3t-T0ken");
    let ended = run(agent, "");
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.stderr.contains("not this machine"), "{ended:?}");

    // Who says which keys sign tokens.
    let oauth =
        "[serve.auth.oauth]\nissuer = 'http://id.localhost'\naudience = 'http://127.0.0.1/mcp'\n";
    folder.write("toolhost.toml", format!("{}{oauth}", listed("echo")));
    let served = Served::start(&folder);
    assert_eq!(served.status_for_a_token(), 503);
    drop(served);

    assert_eq!(Network::seen(&network.public), Vec::<String>::new());
    assert_eq!(Network::seen(&network.here), Vec::<String>::new());

    // As it should be: all of them are reached.
    *elsewhere.lock().unwrap() = false;
    assert_eq!(text(&get(&host, "localhost").await), "status: 200\nhere");
    let [seen] = &Network::seen(&network.here)[..] else {
        panic!("one request");
    };
    assert!(seen.contains("s3cr3t-T0ken"), "{seen}");
    let mut agent = folder.command(&ask);
    agent.env("OPENAI_API_KEY", "s3cr3t-T0ken");
    assert_eq!(run(agent, "").status, 1);
    let [seen, ..] = &Network::seen(&network.here)[..] else {
        panic!("at least one request");
    };
    assert!(seen.contains("Bearer s3cr3t-T0ken"), "{seen}");
    let served = Served::start(&folder);
    assert_eq!(served.status_for_a_token(), 503);
    drop(served);
    assert!(!Network::seen(&network.here).is_empty());
}

/// `toolhost serve` at a port of its own, until it is dropped.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(folder: &Folder) -> Served {
        let mut command = folder.command(&["serve", "--http", "127.0.0.1:0"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.map_while(Result::ok).find_map(|line| {
            let (_, url) = line.split_once("listening on http://")?;
            Some(url.trim().trim_end_matches("/mcp").to_owned())
        });
        Served {
            child,
            address: address.expect("it listens"),
        }
    }

    /// The status of a request with a token whose key is still to be fetched.
    fn status_for_a_token(&self) -> u16 {
        // {"alg":"EdDSA","kid":"x"}
        let token = "eyJhbGciOiJFZERTQSIsImtpZCI6IngifQ.e30.AA";
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Length: 2\r\n\
             Connection: close\r\n\r\n{{}}",
            self.address
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let status = reply.split(' ').nth(1).and_then(|it| it.parse().ok());
        status.unwrap_or_else(|| panic!("{reply}"))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
