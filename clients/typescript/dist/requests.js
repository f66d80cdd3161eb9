/** Plain objects as requests: names that the message lacks are refused, and a request_id is made where one is due. */
import { create, isMessage } from "@bufbuild/protobuf";
const KNOWN_BY_LIBRARY = "google.protobuf.";
export function requestOf(schema, given) {
    refuseUnknown(schema, given, "");
    const request = create(schema, given);
    const id = schema.field["requestId"];
    if (id && !read(request, id))
        write(request, id, crypto.randomUUID());
    return request;
}
/** Empty where a read has none. */
export function requestIdOf(schema, request) {
    const id = schema.field["requestId"];
    return id ? read(request, id) : "";
}
/** TypeScript refuses a misspelt name only where it sees the literal. */
function refuseUnknown(schema, given, path) {
    if (!isPlain(given) || schema.typeName.startsWith(KNOWN_BY_LIBRARY))
        return;
    const oneofs = new Map(schema.oneofs.map((each) => [each.localName, each]));
    for (const [name, value] of Object.entries(given)) {
        const oneof = oneofs.get(name);
        const field = oneof ? chosen(value, oneof.fields, path + name) : schema.field[name];
        const content = oneof ? value?.value : value;
        if (!field && !oneof && name !== "$typeName")
            throw new TypeError(`${schema.typeName} has no field ${path}${name}`);
        if (field)
            for (const [at, each] of messages(field, content))
                refuseUnknown(each.schema, each.value, `${path}${name}${at}.`);
    }
}
function chosen(value, fields, path) {
    const name = isPlain(value) ? value["case"] : undefined;
    if (name === undefined)
        return undefined;
    const field = fields.find((each) => each.localName === name);
    if (!field)
        throw new TypeError(`${path} has no case ${String(name)}`);
    return field;
}
function messages(field, value) {
    const schema = field.message;
    if (!schema)
        return [];
    if (field.fieldKind === "list" && Array.isArray(value))
        return value.map((each, at) => [`[${at}]`, { schema, value: each }]);
    if (field.fieldKind === "map" && isPlain(value))
        return Object.entries(value).map(([key, each]) => [`[${key}]`, { schema, value: each }]);
    return [["", { schema, value }]];
}
function isPlain(value) {
    return typeof value === "object" && value !== null && !Array.isArray(value) && !isMessage(value);
}
export function read(message, field) {
    return message[field.localName];
}
export function write(message, field, value) {
    message[field.localName] = value;
}
