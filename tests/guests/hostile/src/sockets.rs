//! Attacks by sockets, which no manifest can grant.

use crate::{Answer, Behaviour, Error, Given, escaped, missing, refused, write_all};
use std::net::SocketAddr;
use wasip2::io::poll::Pollable;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::{OutgoingDatagram, UdpSocket};
use wasip2::sockets::udp_create_socket::create_udp_socket;

pub const TOOLS: &[Behaviour] = &[
    Behaviour {
        name: "tcp",
        description: "Connects to the address (IP:PORT) by TCP, sends \"ping\" and a line end, and answers what it reads.",
        takes: &[("address", "string")],
        run: |given| escaped(connect(address(given)?)?),
    },
    Behaviour {
        name: "tcp_name",
        description: "Looks the name up and connects to each of its addresses by TCP.",
        takes: &[("name", "string"), ("port", "integer")],
        run: tcp_name,
    },
    Behaviour {
        name: "resolve",
        description: "Looks the name up, and answers its addresses.",
        takes: &[("name", "string")],
        run: |given| {
            let addresses = resolve(given.text("name")?)?;
            escaped(format_args!("resolved to {addresses:?}"))
        },
    },
    Behaviour {
        name: "tcp_listen",
        description: "Listens on the port of 127.0.0.1 by TCP.",
        takes: &[("port", "integer")],
        run: |given| listen(given.number("port")?),
    },
    Behaviour {
        name: "udp",
        description: "Sends a datagram to the address (IP:PORT) by UDP, unconnected and connected.",
        takes: &[("address", "string")],
        run: |given| udp(address(given)?),
    },
];

fn address(given: &Given) -> Result<IpSocketAddress, Error> {
    let address: SocketAddr = given
        .text("address")?
        .parse()
        .map_err(|_| missing("address"))?;
    Ok(match address {
        SocketAddr::V4(address) => {
            let [a, b, c, d] = address.ip().octets();
            with_port(IpAddress::Ipv4((a, b, c, d)), address.port())
        }
        SocketAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = address.ip().segments();
            let parts = (a, b, c, d, e, f, g, h);
            with_port(IpAddress::Ipv6(parts), address.port())
        }
    })
}

fn with_port(address: IpAddress, port: u16) -> IpSocketAddress {
    match address {
        IpAddress::Ipv4(address) => IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address }),
        IpAddress::Ipv6(address) => IpSocketAddress::Ipv6(Ipv6SocketAddress {
            port,
            flow_info: 0,
            address,
            scope_id: 0,
        }),
    }
}

fn family(address: &IpSocketAddress) -> IpAddressFamily {
    match address {
        IpSocketAddress::Ipv4(_) => IpAddressFamily::Ipv4,
        IpSocketAddress::Ipv6(_) => IpAddressFamily::Ipv6,
    }
}

/// What was refused, and how.
fn at(step: &str) -> impl Fn(ErrorCode) -> Error {
    move |error| refused(format_args!("{} at {step}", error.name()))
}

/// Waits for as long as the operation says that it would block.
fn finish<T>(
    pollable: &Pollable,
    operation: impl Fn() -> Result<T, ErrorCode>,
) -> Result<T, ErrorCode> {
    loop {
        match operation() {
            Err(ErrorCode::WouldBlock) => pollable.block(),
            result => return result,
        }
    }
}

fn connect(address: IpSocketAddress) -> Result<String, Error> {
    let socket = create_tcp_socket(family(&address)).map_err(at("create"))?;
    let network = instance_network();
    let pollable = socket.subscribe();
    socket
        .start_connect(&network, address)
        .map_err(at("connect"))?;
    let (input, output) = finish(&pollable, || socket.finish_connect()).map_err(at("connected"))?;
    let answer = write_all(&output, b"ping\n").and_then(|()| input.blocking_read(2000));
    Ok(match answer {
        Ok(bytes) => format!("connected, and read {:?}", String::from_utf8_lossy(&bytes)),
        Err(error) => format!("connected, then {error:?}"),
    })
}

fn resolve(name: &str) -> Result<Vec<IpAddress>, Error> {
    let stream = resolve_addresses(&instance_network(), name).map_err(at("resolve"))?;
    let pollable = stream.subscribe();
    let mut addresses = Vec::new();
    while let Some(address) =
        finish(&pollable, || stream.resolve_next_address()).map_err(at("resolved"))?
    {
        addresses.push(address);
    }
    Ok(addresses)
}

fn tcp_name(given: &Given) -> Answer {
    let port = given.number("port")?;
    let mut tried = Vec::new();
    for address in resolve(given.text("name")?)? {
        match connect(with_port(address, port)) {
            Ok(connected) => return escaped(format_args!("{address:?}: {connected}")),
            Err(error) => tried.push(format!("{address:?}: {error:?}")),
        }
    }
    // That the name was looked up is more than was granted.
    escaped(format_args!("resolved, then {}", tried.join(", ")))
}

fn listen(port: u16) -> Answer {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4).map_err(at("create"))?;
    let network = instance_network();
    let pollable = socket.subscribe();
    let address = with_port(IpAddress::Ipv4((127, 0, 0, 1)), port);
    socket.start_bind(&network, address).map_err(at("bind"))?;
    finish(&pollable, || socket.finish_bind()).map_err(at("bound"))?;
    socket.start_listen().map_err(at("listen"))?;
    finish(&pollable, || socket.finish_listen()).map_err(at("listening"))?;
    escaped(format_args!("listening at {:?}", socket.local_address()))
}

fn udp(address: IpSocketAddress) -> Answer {
    let mut tried: Vec<String> = Vec::new();
    for connected in [None, Some(address)] {
        match datagram(address, connected) {
            Ok(sent) => return escaped(sent),
            Err(error) => tried.push(error),
        }
    }
    Err(refused(tried.join(", ")))
}

fn datagram(
    address: IpSocketAddress,
    connected: Option<IpSocketAddress>,
) -> Result<String, String> {
    let at = |step: &'static str| move |error: ErrorCode| format!("{} at {step}", error.name());
    let socket = create_udp_socket(family(&address)).map_err(at("create"))?;
    bind_any(&socket, &address).map_err(at("bind"))?;
    let (_incoming, outgoing) = socket.stream(connected).map_err(at("stream"))?;
    let pollable = outgoing.subscribe();
    while outgoing.check_send().map_err(at("check"))? == 0 {
        pollable.block();
    }
    let datagram = OutgoingDatagram {
        data: b"ping".to_vec(),
        remote_address: connected.is_none().then_some(address),
    };
    let sent = outgoing.send(&[datagram]).map_err(at("send"))?;
    Ok(format!("sent {sent} datagram to {address:?}"))
}

fn bind_any(socket: &UdpSocket, like: &IpSocketAddress) -> Result<(), ErrorCode> {
    let any = match like {
        IpSocketAddress::Ipv4(_) => IpAddress::Ipv4((0, 0, 0, 0)),
        IpSocketAddress::Ipv6(_) => IpAddress::Ipv6((0, 0, 0, 0, 0, 0, 0, 0)),
    };
    socket.start_bind(&instance_network(), with_port(any, 0))?;
    finish(&socket.subscribe(), || socket.finish_bind())
}
