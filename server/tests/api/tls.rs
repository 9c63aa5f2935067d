//! HTTPS with the certificate that the server makes for itself.

use std::net::{IpAddr, Ipv4Addr};

use jnana_server::http::own_names;
use jnana_server::settings::Given;
use jnana_server::startup::Server;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::support::{given, home, program};

/// A client that trusts this certificate and no other.
fn trusting(certificate: &Certificate<'static>) -> ureq::Agent {
    let roots = RootCerts::new_with_certs(std::slice::from_ref(certificate));
    let tls = TlsConfig::builder().root_certs(roots).build();
    ureq::Agent::config_builder().tls_config(tls).proxy(None).build().into()
}

#[tokio::test]
async fn a_server_on_every_address_is_trusted_under_each_of_them() {
    let home = home();
    let host = Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let mut settings = Given { host, tls: Some(true), ..given(&home) }.resolve().unwrap();
    settings.program = program();
    let server = Server::start(settings).await.unwrap();
    let port = server.address().port();
    assert_eq!(server.url(), format!("https://this machine's address:{port}"));

    let pem = std::fs::read(home.path().join("tls-certificate.pem")).unwrap();
    let certificate = Certificate::from_pem(&pem).unwrap();
    let (addresses, names): (Vec<_>, Vec<_>) =
        own_names::find().into_iter().partition(|name| name.parse::<IpAddr>().is_ok());
    for name in names {
        let found = certificate.der().windows(name.len()).any(|window| window == name.as_bytes());
        assert!(found, "{name} is not in the certificate");
    }
    let reached = addresses.into_iter().filter(|ip| ip.parse::<Ipv4Addr>().is_ok());
    let reached: Vec<_> = reached.chain(["localhost".to_owned(), "127.0.0.1".to_owned()]).collect();
    let agent = trusting(&certificate);
    let asking = tokio::task::spawn_blocking(move || {
        let get = |host: &str| agent.get(format!("https://{host}:{port}/healthz")).call();
        for host in reached {
            assert_eq!(get(&host).unwrap_or_else(|error| panic!("{host}: {error}")).status(), 200);
        }
        // Also this machine, but not what the certificate says.
        assert!(get("127.0.0.2").is_err(), "the name is not checked");
    });
    asking.await.unwrap();
    server.shutdown().await.unwrap();
}
