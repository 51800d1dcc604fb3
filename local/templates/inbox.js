(() => {
  const mails = document.getElementById('mails');
  const state = document.getElementById('state');
  // New mails go on top; those that are there stay as they are, opened or scrolled.
  const look = async () => {
    try {
      const page = new DOMParser().parseFromString(await (await fetch('/inbox/')).text(), 'text/html');
      const fresh = [...page.querySelectorAll('article')].filter(mail => !document.getElementById(mail.id));
      fresh.reverse().forEach(mail => mails.prepend(document.importNode(mail, true)));
      if (fresh.length) state.textContent = fresh.length === 1 ? 'A mail has come.' : fresh.length + ' mails have come.';
    } catch {
      state.textContent = 'The system does not answer; is it running?';
    }
  };
  setInterval(() => document.hidden || look(), 1000);
})();
