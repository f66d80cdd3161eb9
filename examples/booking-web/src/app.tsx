/** The page: who is signed in, and in which language. */
import { useEffect, useState } from "preact/hooks";

import { Booking } from "./booking.tsx";
import { Heading, LanguageContext, Notice } from "./parts.tsx";
import { leaveToSignIn, sessionFromCallback, SignInFailed, type Session } from "./sign-in.ts";
import { WORDS, type Language, type Words } from "./words.ts";

const KEPT_LANGUAGE = "language";

export function App() {
  const [language, setLanguage] = useState<Language>(firstLanguage);
  const [session, setSession] = useState<Session>();
  const [signInProblem, setSignInProblem] = useState<string>();
  const [busy, setBusy] = useState(true);
  const words = WORDS[language];

  useEffect(() => {
    document.documentElement.lang = language;
    document.title = words.title;
    sessionStorage.setItem(KEPT_LANGUAGE, language);
  }, [language]);

  useEffect(() => {
    sessionFromCallback()
      .then(setSession)
      .catch((error: unknown) => setSignInProblem(signInWords(error, words)))
      .finally(() => setBusy(false));
  }, []);

  const signIn = () => {
    setBusy(true);
    leaveToSignIn().catch((error: unknown) => {
      setSignInProblem(signInWords(error, words));
      setBusy(false);
    });
  };
  const signOut = (problem?: string) => {
    setSession(undefined);
    setSignInProblem(problem);
  };

  return (
    <LanguageContext.Provider value={language}>
      <a class="skip" href="#content">
        {words.skip}
      </a>
      <header>
        <div class="brand">
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <path d="M5 21c3.7-5 7.3-5 11 0s7.3 5 11 0M5 12c3.7-5 7.3-5 11 0s7.3 5 11 0" />
          </svg>
          <span>{words.title}</span>
        </div>
        <nav>
          <button type="button" class="plain" lang={language === "en" ? "es" : "en"} onClick={() => setLanguage(language === "en" ? "es" : "en")}>
            {words.language}
          </button>
          {session && (
            <button type="button" class="plain" onClick={() => signOut()}>
              {words.signOut}
            </button>
          )}
        </nav>
      </header>
      <main id="content" tabIndex={-1}>
        {session ? (
          <Booking key={session.token} session={session} onSignedOut={() => signOut(words.signedOutByTime)} />
        ) : (
          <section class="hero">
            <Heading>{words.welcome}</Heading>
            <p>{words.welcomeText}</p>
            {signInProblem && <Notice>{signInProblem}</Notice>}
            <button type="button" class="main" onClick={signIn} aria-disabled={busy}>
              {busy ? words.loading : words.signIn}
            </button>
          </section>
        )}
      </main>
    </LanguageContext.Provider>
  );
}

function firstLanguage(): Language {
  const kept = sessionStorage.getItem(KEPT_LANGUAGE);
  if (kept === "en" || kept === "es") return kept;
  return navigator.language.startsWith("es") ? "es" : "en";
}

function signInWords(error: unknown, words: Words): string {
  return words.signInFailed[error instanceof SignInFailed ? error.kind : "refused"];
}
