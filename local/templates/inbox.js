(() => {
  const mails = document.getElementById('mails');
  const state = document.getElementById('state');
  // New emails go on top; the others keep their state, such as scroll positions.
  const refresh = async () => {
    try {
      const page = new DOMParser().parseFromString(await (await fetch('/inbox/')).text(), 'text/html');
      const fresh = [...page.querySelectorAll('article')].filter(mail => !document.getElementById(mail.id));
      fresh.reverse().forEach(mail => mails.prepend(document.importNode(mail, true)));
      if (fresh.length) state.textContent = fresh.length === 1 ? 'A mail has come.' : fresh.length + ' mails have come.';
    } catch {
      state.textContent = 'The system does not answer; is it running?';
    }
  };
  setInterval(() => document.hidden || refresh(), 1000);
})();
