use wasip3::sockets::types as wasi;

pub mod instance_network {
    pub struct Network;

    pub fn instance_network() -> Network {
        Network
    }
}

pub mod network {
    pub use wasip3::sockets::types::{
        IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
    };

    use crate::sockets::wasi;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum ErrorCode {
        WouldBlock,
        Named(&'static str),
    }

    impl ErrorCode {
        pub fn name(&self) -> &'static str {
            match self {
                ErrorCode::WouldBlock => "would-block",
                ErrorCode::Named(name) => name,
            }
        }
    }

    impl From<wasi::ErrorCode> for ErrorCode {
        fn from(code: wasi::ErrorCode) -> ErrorCode {
            ErrorCode::Named(crate::name(&code))
        }
    }
}

pub mod ip_name_lookup {
    use std::cell::RefCell;

    use wasip3::sockets::ip_name_lookup;

    use super::instance_network::Network;
    use super::network::{ErrorCode, IpAddress};
    use crate::io::poll::Pollable;

    pub struct ResolveAddressStream(RefCell<std::vec::IntoIter<IpAddress>>);

    pub fn resolve_addresses(_: &Network, name: &str) -> Result<ResolveAddressStream, ErrorCode> {
        let found = wit_bindgen::block_on(ip_name_lookup::resolve_addresses(name.into()));
        let found = found.map_err(|error| ErrorCode::Named(crate::name(&error)))?;
        Ok(ResolveAddressStream(RefCell::new(found.into_iter())))
    }

    impl ResolveAddressStream {
        pub fn resolve_next_address(&self) -> Result<Option<IpAddress>, ErrorCode> {
            Ok(self.0.borrow_mut().next())
        }

        pub fn subscribe(&self) -> Pollable {
            Pollable::ready()
        }
    }
}

pub mod tcp_create_socket {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::instance_network::Network;
    use super::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
    use super::wasi;
    use crate::io::poll::Pollable;
    use crate::io::streams::{InputStream, OutputStream};

    pub struct TcpSocket(Rc<wasi::TcpSocket>, Cell<Option<IpSocketAddress>>);

    pub fn create_tcp_socket(family: IpAddressFamily) -> Result<TcpSocket, ErrorCode> {
        let socket = wasi::TcpSocket::create(family)?;
        Ok(TcpSocket(socket.into(), Cell::new(None)))
    }

    impl TcpSocket {
        /// What is wrong with the address itself shows at once with WASI 0.2.
        pub fn start_connect(&self, _: &Network, to: IpSocketAddress) -> Result<(), ErrorCode> {
            self.1.set(Some(to));
            Ok(())
        }

        pub fn finish_connect(&self) -> Result<(InputStream, OutputStream), ErrorCode> {
            let to = self.1.get().expect("connecting has started");
            wit_bindgen::block_on(self.0.connect(to))?;
            let input = InputStream::new(self.0.receive().0);
            let socket = self.0.clone();
            let output = OutputStream::new(move |data| async move {
                let sent = socket.send(data).await;
                sent.map_err(|error| format!("{error:?}"))
            });
            Ok((input, output))
        }

        pub fn start_bind(&self, _: &Network, at: IpSocketAddress) -> Result<(), ErrorCode> {
            Ok(self.0.bind(at)?)
        }

        pub fn finish_bind(&self) -> Result<(), ErrorCode> {
            Ok(())
        }

        pub fn start_listen(&self) -> Result<(), ErrorCode> {
            Ok(())
        }

        pub fn finish_listen(&self) -> Result<(), ErrorCode> {
            Ok(self.0.listen().map(drop)?)
        }

        pub fn local_address(&self) -> Result<IpSocketAddress, ErrorCode> {
            Ok(self.0.get_local_address()?)
        }

        pub fn subscribe(&self) -> Pollable {
            Pollable::ready()
        }
    }
}

pub mod udp {
    use super::instance_network::Network;
    use super::network::{ErrorCode, IpSocketAddress};
    use super::wasi;
    use crate::io::poll::Pollable;

    pub struct UdpSocket(pub(super) wasi::UdpSocket);

    pub struct OutgoingDatagram {
        pub data: Vec<u8>,
        pub remote_address: Option<IpSocketAddress>,
    }

    pub struct OutgoingDatagramStream<'s>(&'s wasi::UdpSocket);

    impl UdpSocket {
        pub fn start_bind(&self, _: &Network, at: IpSocketAddress) -> Result<(), ErrorCode> {
            Ok(self.0.bind(at)?)
        }

        pub fn finish_bind(&self) -> Result<(), ErrorCode> {
            Ok(())
        }

        pub fn subscribe(&self) -> Pollable {
            Pollable::ready()
        }

        pub fn stream(
            &self,
            to: Option<IpSocketAddress>,
        ) -> Result<((), OutgoingDatagramStream<'_>), ErrorCode> {
            if let Some(to) = to {
                self.0.connect(to)?;
            }
            Ok(((), OutgoingDatagramStream(&self.0)))
        }
    }

    impl OutgoingDatagramStream<'_> {
        pub fn check_send(&self) -> Result<u64, ErrorCode> {
            Ok(1)
        }

        pub fn subscribe(&self) -> Pollable {
            Pollable::ready()
        }

        pub fn send(&self, datagrams: &[OutgoingDatagram]) -> Result<u64, ErrorCode> {
            for datagram in datagrams {
                let send = self.0.send(datagram.data.clone(), datagram.remote_address);
                wit_bindgen::block_on(send)?;
            }
            Ok(datagrams.len() as u64)
        }
    }
}

pub mod udp_create_socket {
    use super::network::{ErrorCode, IpAddressFamily};
    use super::udp::UdpSocket;
    use super::wasi;

    pub fn create_udp_socket(family: IpAddressFamily) -> Result<UdpSocket, ErrorCode> {
        Ok(UdpSocket(wasi::UdpSocket::create(family)?))
    }
}
