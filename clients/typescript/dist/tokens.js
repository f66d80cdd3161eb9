/** Where the token of a call comes from. */
export async function headersFor(source, refused = false) {
    const token = typeof source === "function" ? await source(refused) : source;
    return new Headers(token ? { authorization: `Bearer ${token}` } : {});
}
