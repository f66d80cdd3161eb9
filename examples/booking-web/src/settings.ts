/** Where the page finds what it talks to. Set when it is built: see vite.config.ts. */
interface Settings {
  VITE_API_URL: string;
  VITE_ISSUER_URL: string;
  /** Empty: the chain takes no cards here. */
  VITE_PROCESSOR_URL?: string;
  VITE_PROCESSOR_KEY?: string;
}

const given = import.meta.env as unknown as Settings;

export const API_URL = given.VITE_API_URL;
export const ISSUER_URL = given.VITE_ISSUER_URL;
export const PROCESSOR_URL = given.VITE_PROCESSOR_URL ?? "";
export const PROCESSOR_KEY = given.VITE_PROCESSOR_KEY ?? "";
export const CLIENT_ID = "booking-web";
