use super::*;

fn text(text: &str) -> Piece {
    Piece::Text(text.to_owned())
}

fn name(name: &str) -> Field {
    Field {
        source: name.to_owned(),
        root: name.to_owned(),
        ..Field::default()
    }
}

fn fields(template: &str) -> Vec<Field> {
    let pieces = scan(template).expect("a template");
    pieces
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Field(field) => Some(field),
        })
        .collect()
}

#[test]
fn text_and_fields_alternate() {
    assert_eq!(scan("nightly"), Ok(vec![text("nightly")]));
    assert_eq!(scan("a{{b}}c"), Ok(vec![text("a{b}c")]));
    let pieces = vec![text("r:"), Piece::Field(name("id")), text(":é}")];
    assert_eq!(scan("r:{id}:é}}"), Ok(pieces));
    let pieces = vec![text("{"), Piece::Field(name("id")), text("}")];
    assert_eq!(scan("{{{id }}}"), Ok(pieces));
}

#[test]
fn paths_have_fields_indexes_and_calls() {
    let field = &fields("{self.pair.0.1.name().r#type:08x}")[0];
    assert_eq!((field.root.as_str(), field.spec.as_str()), ("self", ":08x"));
    assert_eq!(field.source, "self.pair.0.1.name().r#type");
    let rest = [
        Access::Field("pair".to_owned()),
        Access::Index(0),
        Access::Index(1),
        Access::Call("name".to_owned()),
        Access::Field("type".to_owned()),
    ];
    assert_eq!(field.rest, rest);
}

#[test]
fn widths_and_precisions_have_names() {
    let counts = |spec: &str| fields(&format!("{{id:{spec}}}"))[0].counts.clone();
    assert_eq!(counts(">w$"), ["w"]);
    assert_eq!(counts("-^+#0wide$.pre_1$e"), ["wide", "pre_1"]);
    assert_eq!(counts("08.3?"), [""; 0]);
    assert_eq!(counts("$>5"), [""; 0]);
    assert_eq!(counts(":>5"), [""; 0]);
}

#[test]
fn what_is_no_value_is_refused() {
    for (template, part) in [
        ("{}", "names no value"),
        ("{:?}", "names no value"),
        ("{0}", "names no value"),
        ("{ }", "names no value"),
        ("{ id}", "has a blank"),
        ("{id :x}", "has a blank"),
        ("{ order.id}", "has a blank"),
        ("{Self::NAME}", "is a path"),
        ("{a::b}", "is a path"),
        ("{id + 1}", "more than a template takes"),
        ("{id.get(1)}", "more than a template takes"),
        ("{get()}", "more than a template takes"),
        ("{id.}", "more than a template takes"),
        ("{ids[0]}", "more than a template takes"),
        ("{id.tags[0]()}", "more than a template takes"),
        ("{order\n.id}", "more than a template takes"),
        ("{order. id}", "more than a template takes"),
        ("{order/**/.id}", "more than a template takes"),
        ("{id:.*}", "by position"),
        ("{id:>1$}", "by position"),
    ] {
        let Err(Problem::Refused(message)) = scan(template) else {
            panic!("{template} is taken");
        };
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn what_only_rustc_can_explain_is_left_to_it() {
    for template in ["{id", "id}", "{a{b}}", "{{id}", "{r#type}"] {
        assert_eq!(scan(template), Err(Problem::Odd), "{template}");
    }
}

#[test]
fn a_name_that_may_be_misspelt_stays_in_the_literal() {
    let scope = scope("a: u8, b: u8");
    let captured = |template: &str| {
        let fields = fields(template);
        let fields: Vec<_> = fields.iter().collect();
        capture(&fields, &scope).cloned()
    };
    assert_eq!(captured("{a}:{c}:{d}").as_deref(), Some("c"));
    assert_eq!(captured("{a}:{b}"), None);
    assert_eq!(captured("{a.b}:{N}").as_deref(), Some("N"));
    assert_eq!(captured("{self}:{a.0}"), None);
    assert_eq!(captured("{a}:{b:>a$}"), None);
    assert_eq!(captured("{N}:{b:>N$}"), None);
}

fn scope(parameters: &str) -> Scope {
    let signature = syn::parse_str(&format!("fn f({parameters})"));
    Scope::of(&signature.unwrap())
}

/// Without spaces, and without the path to our module.
fn expanded(literal: &str) -> String {
    let template = Template::parse(LitStr::new(literal, Span::call_site())).unwrap();
    let mut scope = scope("b: u8");
    scope.receiver = Some(Ident::new("__self", Span::call_site()));
    let tokens = Key::Template(template).expand(&Root(None), &scope);
    tokens
        .to_string()
        .replace(' ', "")
        .replace("::redis_locked::__private::", "")
}

#[test]
fn the_literal_is_left_alone_where_its_fields_are_names() {
    let text = expanded("{A}:{b:>w$}");
    let wrapped =
        r#"letb=fields.field("b",&b);fields.key("{A}:{b:>w$}",format_args!("{A}:{b:>w$}"),1usize"#;
    assert!(text.contains(wrapped), "{text}");
    assert!(text.ends_with(r#",Option::Some("A"),)}"#), "{text}");
    let text = expanded("{A}:{B}:{b}");
    assert!(text.contains(r#",B=fields.field("B",&B)"#), "{text}");
}

/// As a variable, the wrapped one would hide what the path begins with.
#[test]
fn a_name_that_begins_a_path_is_wrapped_as_an_argument() {
    let text = expanded("{b}:{b.id}");
    assert!(!text.contains("letb="), "{text}");
    let arguments = r#"fields.field("b.id",&b.id),b=fields.field("b",&b)"#;
    assert!(text.contains(arguments), "{text}");
}

#[test]
fn a_path_becomes_an_argument() {
    let text = expanded("{{{self.id():x}:{b}");
    let format = r#""{{{0:x}:{b}",fields.field("self.id()",&__self.id())"#;
    assert!(text.contains(format), "{text}");
    // A plain name that no path begins with is wrapped as a variable.
    let text = expanded("{b}:{self.id()}");
    assert!(text.contains(r#"letb=fields.field("b",&b);"#), "{text}");
}

#[test]
fn no_field_needs_no_format() {
    assert_eq!(expanded("a{{b}}"), r#"Key::fixed("a{b}")"#);
}
