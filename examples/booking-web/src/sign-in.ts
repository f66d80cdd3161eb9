/**
 * Signing in with the chain's OpenID Connect provider: authorization code with PKCE, as a public client.
 *
 * The token lives in memory only, and ends with the page. What must outlive the way to the provider and back (verifier,
 * state, language) is in sessionStorage until the code is exchanged, and says nothing of whoever signs in.
 */
import { CLIENT_ID, ISSUER_URL } from "./settings.ts";

const KEPT = "sign-in";
const CALLBACK_PARAMETERS = ["code", "state", "iss", "error", "error_description", "session_state"];

export interface Session {
  token: string;
  patientId: string;
  name: string;
}

interface Discovery {
  authorization_endpoint: string;
  token_endpoint: string;
}

interface Kept {
  verifier: string;
  state: string;
  nonce: string;
}

export class SignInFailed extends Error {
  readonly kind: "givenUp" | "noPatient" | "unreachable" | "refused";

  constructor(kind: SignInFailed["kind"]) {
    super(kind);
    this.kind = kind;
  }
}

/** Leaves the page. */
export async function leaveToSignIn(): Promise<void> {
  const { authorization_endpoint } = await discover();
  const kept: Kept = { verifier: random(48), state: random(16), nonce: random(16) };
  sessionStorage.setItem(KEPT, JSON.stringify(kept));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(kept.verifier));
  const query = new URLSearchParams({
    response_type: "code",
    client_id: CLIENT_ID,
    redirect_uri: redirectUri(),
    scope: "openid",
    state: kept.state,
    nonce: kept.nonce,
    code_challenge: base64url(new Uint8Array(digest)),
    code_challenge_method: "S256",
  });
  location.assign(`${authorization_endpoint}?${query}`);
}

/** Of a page that the provider sent the browser back to; undefined of any other. Throws SignInFailed. */
export async function sessionFromCallback(): Promise<Session | undefined> {
  const answer = new URLSearchParams(location.search);
  if (!answer.has("code") && !answer.has("error")) return undefined;
  forgetCallback();
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null") as Kept | null;
  sessionStorage.removeItem(KEPT);
  if (answer.get("error") === "access_denied") throw new SignInFailed("givenUp");
  if (!kept || answer.get("state") !== kept.state || !answer.has("code")) throw new SignInFailed("refused");
  const { token_endpoint } = await discover();
  const body = new URLSearchParams({
    grant_type: "authorization_code",
    code: answer.get("code") ?? "",
    client_id: CLIENT_ID,
    redirect_uri: redirectUri(),
    code_verifier: kept.verifier,
  });
  const response = await ask(token_endpoint, { method: "POST", body });
  if (!response.ok) throw new SignInFailed("refused");
  const tokens = (await response.json()) as { access_token: string; id_token?: string };
  return sessionOf(tokens.access_token, tokens.id_token, kept.nonce);
}

function sessionOf(token: string, idToken: string | undefined, nonce: string): Session {
  const identity = idToken ? claims(idToken) : {};
  if (idToken && identity["nonce"] !== nonce) throw new SignInFailed("refused");
  const patientId = claims(token)["patient"];
  if (typeof patientId !== "string") throw new SignInFailed("noPatient");
  return { token, patientId, name: typeof identity["name"] === "string" ? identity["name"] : "" };
}

async function discover(): Promise<Discovery> {
  const response = await ask(`${ISSUER_URL}/.well-known/openid-configuration`);
  if (!response.ok) throw new SignInFailed("unreachable");
  return (await response.json()) as Discovery;
}

async function ask(url: string, init?: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { ...init, credentials: "omit" });
  } catch {
    throw new SignInFailed("unreachable");
  }
}

function forgetCallback(): void {
  const url = new URL(location.href);
  for (const name of CALLBACK_PARAMETERS) url.searchParams.delete(name);
  history.replaceState(null, "", url);
}

const redirectUri = () => `${location.origin}${location.pathname}`;

/** What a token says; that it is genuine is for the services to check, which do so at each call. */
function claims(token: string): Record<string, unknown> {
  const part = token.split(".")[1] ?? "";
  const bytes = Uint8Array.from(atob(part.replace(/-/g, "+").replace(/_/g, "/")), (each) => each.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
}

const random = (bytes: number) => base64url(crypto.getRandomValues(new Uint8Array(bytes)));

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
