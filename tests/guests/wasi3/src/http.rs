pub mod outgoing_handler {
    use wasip3::http::client;

    use super::types::{ErrorCode, FutureIncomingResponse, OutgoingRequest, RequestOptions};

    pub fn handle(
        request: OutgoingRequest,
        _: Option<RequestOptions>,
    ) -> Result<FutureIncomingResponse, ErrorCode> {
        let (request, body) = request.take();
        // A body that is not written to is none.
        drop(body);
        Ok(FutureIncomingResponse::new(client::send(request)))
    }
}

pub mod types {
    use std::cell::RefCell;
    use std::future::Future;
    use std::rc::Rc;

    pub use wasip3::http::types::{ErrorCode, Fields, Method, RequestOptions, Scheme};
    use wasip3::http::types::{Request, Response};
    use wasip3::{wit_future, wit_stream};
    use wit_bindgen::{FutureReader, StreamReader, StreamWriter};

    use crate::Begun;
    use crate::io::error::Error;
    use crate::io::poll::Pollable;
    use crate::io::streams::{InputStream, OutputStream};

    type Sent = FutureReader<Result<(), ErrorCode>>;

    /// A request, without a body until it is asked for one.
    pub struct OutgoingRequest(RefCell<Option<(Request, Sent)>>);

    impl OutgoingRequest {
        pub fn new(headers: Fields) -> OutgoingRequest {
            let (_, trailers) = wit_future::new(|| Ok(None));
            let made = Request::new(headers, None, trailers, None);
            OutgoingRequest(RefCell::new(Some(made)))
        }

        fn with<T>(&self, run: impl FnOnce(&Request) -> T) -> T {
            run(&self.0.borrow().as_ref().expect("it is not sent yet").0)
        }

        pub fn set_method(&self, method: &Method) -> Result<(), ()> {
            self.with(|request| request.set_method(method))
        }

        pub fn set_scheme(&self, scheme: Option<&Scheme>) -> Result<(), ()> {
            self.with(|request| request.set_scheme(scheme))
        }

        pub fn set_authority(&self, authority: Option<&str>) -> Result<(), ()> {
            self.with(|request| request.set_authority(authority))
        }

        pub fn set_path_with_query(&self, path: Option<&str>) -> Result<(), ()> {
            self.with(|request| request.set_path_with_query(path))
        }

        /// Makes the request anew, with a body.
        pub fn body(&self) -> Result<OutgoingBody, ()> {
            let (former, _) = self.0.borrow_mut().take().ok_or(())?;
            let (writer, data) = wit_stream::new();
            let (trailers_writer, trailers) = wit_future::new(|| Ok(None));
            drop(trailers_writer);
            let headers = former.get_headers().clone();
            let (request, sent) = Request::new(headers, Some(data), trailers, None);
            request.set_method(&former.get_method())?;
            request.set_scheme(former.get_scheme().as_ref())?;
            request.set_authority(former.get_authority().as_deref())?;
            request.set_path_with_query(former.get_path_with_query().as_deref())?;
            let (_, none) = unsent();
            *self.0.borrow_mut() = Some((request, none));
            Ok(OutgoingBody(RefCell::new(Some((writer, sent)))))
        }

        pub(super) fn take(self) -> (Request, Sent) {
            self.0.into_inner().expect("it is not sent yet")
        }
    }

    fn unsent() -> (wit_bindgen::FutureWriter<Result<(), ErrorCode>>, Sent) {
        wit_future::new(|| Ok(()))
    }

    pub struct OutgoingBody(RefCell<Option<(StreamWriter<u8>, Sent)>>);

    impl OutgoingBody {
        pub fn write(&self) -> Result<OutputStream, ()> {
            let (writer, sent) = self.0.borrow_mut().take().ok_or(())?;
            let sent = async move { sent.await.map_err(|error| format!("{error:?}")) };
            Ok(OutputStream::of(writer, sent))
        }

        pub fn finish(_: OutgoingBody, _: Option<Fields>) -> Result<(), ErrorCode> {
            Ok(())
        }
    }

    pub fn http_error_code(_: &Error) -> Option<ErrorCode> {
        None
    }

    type Begin = Begun<Result<Response, ErrorCode>>;

    pub struct FutureIncomingResponse(RefCell<Begin>);

    impl FutureIncomingResponse {
        pub(super) fn new(
            sending: impl Future<Output = Result<Response, ErrorCode>> + 'static,
        ) -> FutureIncomingResponse {
            FutureIncomingResponse(RefCell::new(Begun::new(sending)))
        }

        pub fn subscribe(&self) -> Pollable {
            Pollable::ready()
        }

        pub fn get(&self) -> Option<Result<Result<IncomingResponse, ErrorCode>, ()>> {
            let response = self.0.borrow_mut().finish();
            Some(Ok(response.map(IncomingResponse::new)))
        }
    }

    pub struct IncomingResponse {
        status: u16,
        headers: Fields,
        body: Rc<RefCell<Option<Response>>>,
    }

    impl IncomingResponse {
        fn new(response: Response) -> IncomingResponse {
            IncomingResponse {
                status: response.get_status_code(),
                headers: response.get_headers(),
                body: Rc::new(RefCell::new(Some(response))),
            }
        }

        pub fn status(&self) -> u16 {
            self.status
        }

        pub fn headers(&self) -> Fields {
            self.headers.clone()
        }

        pub fn consume(&self) -> Result<IncomingBody, ()> {
            let response = self.body.borrow_mut().take().ok_or(())?;
            let (_, done) = wit_future::new(|| Ok(()));
            let (data, trailers) = Response::consume_body(response, done);
            Ok(IncomingBody(RefCell::new(Some((data, trailers)))))
        }
    }

    type Trailers = FutureReader<Result<Option<Fields>, ErrorCode>>;

    pub struct IncomingBody(RefCell<Option<(StreamReader<u8>, Trailers)>>);

    impl IncomingBody {
        pub fn stream(&self) -> Result<InputStream, ()> {
            let (data, trailers) = self.0.borrow_mut().take().ok_or(())?;
            let end = async move {
                let trailers = trailers.await;
                trailers.map(drop).map_err(|error| format!("{error:?}"))
            };
            Ok(InputStream::new(data).ending(end))
        }
    }
}
