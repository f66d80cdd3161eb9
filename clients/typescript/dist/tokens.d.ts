/** Where the token of a call comes from. */
/** A token, or what gives one: asked before each call, and once more after a refusal of what it gave. */
export type TokenSource = string | ((refused: boolean) => string | Promise<string>);
export declare function headersFor(source: TokenSource | undefined, refused?: boolean): Promise<Headers>;
