//! What others on the network call this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// The addresses that this machine speaks from, and its name. What cannot be found is left out.
#[must_use]
pub fn find() -> Vec<String> {
    let addresses = addresses().into_iter().map(|ip| ip.to_string());
    addresses.chain(host_name()).collect()
}

fn addresses() -> Vec<IpAddr> {
    // Addresses for documentation: routed like any other, and nobody's.
    let v4 = (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(203, 0, 113, 1).into());
    let v6 = (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into());
    [v4, v6].into_iter().filter_map(|(any, far)| source_towards(any, far)).collect()
}

/// The address that packets to `far` would come from. Connecting a datagram socket only looks up the route: nothing is
/// sent.
fn source_towards(any: IpAddr, far: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((far, 9)).ok()?;
    let own = socket.local_addr().ok()?.ip();
    Some(own).filter(|own| !own.is_unspecified() && !own.is_loopback())
}

/// The name the machine has itself, when a certificate can hold it.
fn host_name() -> Option<String> {
    let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let name = files.iter().find_map(|file| std::fs::read_to_string(file).ok())?;
    let name = name.trim();
    let fits = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    (fits && !name.is_empty() && name != "localhost").then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_this_machine_and_no_wildcards() {
        for name in find() {
            match name.parse::<IpAddr>() {
                Ok(ip) => assert!(UdpSocket::bind((ip, 0)).is_ok(), "{ip} is not this machine's"),
                Err(_) => assert_eq!(Some(name), host_name()),
            }
        }
    }
}
