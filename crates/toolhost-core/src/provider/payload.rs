//! What providers answer, as the limits and the mask of secrets take it.

use super::Payload;
use crate::input::{InputRequired, Message, Question};
use crate::mask::Mask;
use crate::prompt::{RenderedPrompt, Suggestions};
use crate::resource::{Resource, ResourceContents};
use crate::tool::{Content, EmbeddedResource, Icon, Output};

impl Payload for Output {
    fn len(&self) -> u64 {
        Output::len(self)
    }

    fn hide(&mut self, mask: &Mask) {
        self.content.iter_mut().for_each(|part| content(part, mask));
        self.structured = self.structured.take().map(|json| mask.json(json));
        self.meta = self.meta.take().map(|meta| mask.members(meta));
        for meta in self.content_meta.values_mut() {
            *meta = mask.members(std::mem::take(meta));
        }
    }
}

impl Payload for Vec<Resource> {
    fn len(&self) -> u64 {
        let lens = self.iter().map(|resource| {
            let optional = [&resource.title, &resource.description, &resource.mime_type];
            let optional = optional.into_iter().flatten().map(String::len);
            let icons = resource.icons.iter().map(|icon| icon.src.len());
            // No listing is free for having no text.
            let entry = size_of::<Resource>() + resource.uri.len() + resource.name.len();
            entry + optional.sum::<usize>() + icons.sum::<usize>()
        });
        lens.sum::<usize>() as u64
    }

    fn hide(&mut self, mask: &Mask) {
        for resource in self {
            mask.text(&mut resource.uri);
            mask.text(&mut resource.name);
            resource.size = resource.size.take_if(|size| !mask.is_in_number(*size));
            let optional = [
                &mut resource.title,
                &mut resource.description,
                &mut resource.mime_type,
            ];
            optional
                .into_iter()
                .flatten()
                .for_each(|text| mask.text(text));
            for icon in &mut resource.icons {
                hide_icon(icon, mask);
            }
        }
    }
}

impl Payload for Vec<ResourceContents> {
    fn len(&self) -> u64 {
        self.iter().map(EmbeddedResource::size).sum::<usize>() as u64
    }

    fn hide(&mut self, mask: &Mask) {
        self.iter_mut()
            .for_each(|contents| embedded(contents, mask));
    }
}

impl Payload for RenderedPrompt {
    fn len(&self) -> u64 {
        let description = self.description.as_ref().map_or(0, String::len);
        let messages = self.messages.iter().map(|message| message.content.size());
        (description + messages.sum::<usize>()) as u64
    }

    fn hide(&mut self, mask: &Mask) {
        if let Some(description) = &mut self.description {
            mask.text(description);
        }
        messages(&mut self.messages, mask);
    }
}

impl Payload for Suggestions {
    fn len(&self) -> u64 {
        self.values.iter().map(String::len).sum::<usize>() as u64
    }

    fn hide(&mut self, mask: &Mask) {
        self.values.iter_mut().for_each(|value| mask.text(value));
        self.total = self.total.take_if(|total| !mask.is_in_number(*total));
    }
}

/// The version of a resource: nobody is shown it.
impl Payload for String {
    fn len(&self) -> u64 {
        String::len(self) as u64
    }

    fn hide(&mut self, _: &Mask) {}
}

/// Puts `***` where secrets are. What is to come back stays as it is: a plugin that keeps a secret
/// there shows it to whoever it asks, and one that does not must find it again.
pub(super) fn hide_input(input: &mut InputRequired, mask: &Mask) {
    for (key, question) in &mut input.questions {
        mask.text(key);
        question.texts().for_each(|text| mask.text(text));
        if let Question::Prompt(conversation) = question {
            messages(&mut conversation.messages, mask);
            let temperature = conversation.temperature;
            conversation.temperature = temperature.filter(|it| !mask.is_in_number(*it));
            if mask.is_in_number(conversation.max_tokens) {
                conversation.max_tokens = 0;
            }
        }
    }
}

/// Puts `***` where secrets are.
pub fn hide_icon(icon: &mut Icon, mask: &Mask) {
    mask.text(&mut icon.src);
    let texts = icon.mime_type.iter_mut().chain(&mut icon.sizes);
    texts.for_each(|text| mask.text(text));
}

fn messages(messages: &mut [Message], mask: &Mask) {
    let contents = messages.iter_mut().map(|message| &mut message.content);
    contents.for_each(|part| content(part, mask));
}

fn content(content: &mut Content, mask: &Mask) {
    content.each_part(&mut |text| mask.text(text), &mut |bytes| mask.bytes(bytes));
}

fn embedded(resource: &mut EmbeddedResource, mask: &Mask) {
    resource.each_part(&mut |text| mask.text(text), &mut |bytes| mask.bytes(bytes));
}
