/** Where the token of a call comes from. */

/** A token, or what gives one: asked before each call, and once more after a refusal of what it gave. */
export type TokenSource = string | ((refused: boolean) => string | Promise<string>);

export async function headersFor(source: TokenSource | undefined, refused = false): Promise<Headers> {
  const token = typeof source === "function" ? await source(refused) : source;
  return new Headers(token ? { authorization: `Bearer ${token}` } : {});
}
