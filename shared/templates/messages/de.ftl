language-name = Deutsch
direction = ltr

date = { $day }. { $month ->
    [1] Januar
    [2] Februar
    [3] März
    [4] April
    [5] Mai
    [6] Juni
    [7] Juli
    [8] August
    [9] September
    [10] Oktober
    [11] November
   *[12] Dezember
} { $year }, { $time } UTC

# reset-asked and changed-what continue the sentence after the greeting's comma, so they start in lower case.
mail-greeting = Hallo { $name },
mail-greeting-nameless = Hallo,
mail-support = Brauchen Sie Hilfe? { $support }
mail-sent-to = Diese E-Mail ging an { $email }, weil die Adresse zu einem Konto bei { $app } gehört.

reset-subject = Neues Passwort für { $app } festlegen
reset-preheader = Der Link gilt nur einmal und bis zum { $date }.
reset-asked = jemand, wahrscheinlich Sie selbst, möchte ein neues Passwort für das Konto { $email } bei { $app } festlegen.
reset-open = Öffnen Sie diesen Link im Browser:
reset-button = Neues Passwort festlegen
reset-until = Der Link gilt nur einmal und bis zum { $date }.
reset-code = Falls die Seite nach einem Code fragt, fügen Sie diesen ein:
reset-not-you = Wenn Sie es nicht waren, brauchen Sie nichts zu tun: Ihr Passwort bleibt, wie es ist, und ohne diese E-Mail kann es niemand ändern.

changed-subject = Ihr Passwort für { $app } wurde geändert
changed-preheader = Wenn Sie es waren, brauchen Sie nichts zu tun.
changed-what = am { $date } wurde das Passwort für das Konto { $email } bei { $app } geändert.
changed-you = Wenn Sie es waren, brauchen Sie nichts zu tun.
changed-not-you = Wenn Sie es nicht waren, liest möglicherweise jemand Ihre E-Mails mit. Sichern Sie zuerst Ihr E-Mail-Konto, indem Sie dessen Passwort ändern. Legen Sie dann sofort ein neues Passwort für { $app } fest: Es ersetzt das Passwort, das jemand anderes gewählt hat.

page-language = Sprache
page-error = Fehler:
page-support = Hilfe:

field-email = E-Mail-Adresse
field-password = Neues Passwort
field-code = Code aus der E-Mail
field-code-hint = Er steht in der E-Mail unter dem Link.

ask-title = Passwort vergessen?
ask-intro = Geben Sie die E-Mail-Adresse Ihres Kontos ein. Sie erhalten eine E-Mail mit einem Link, über den Sie ein neues Passwort festlegen können.
ask-button = Link anfordern

sent-title = Sehen Sie in Ihren Posteingang
sent-body = Wenn es zu dieser Adresse ein Konto gibt, ist eine E-Mail mit einem Link unterwegs. Darin steht, bis wann der Link gilt.
sent-missing = Nach ein paar Minuten ist noch nichts da? Sehen Sie im Spam-Ordner nach, prüfen Sie die Adresse auf Tippfehler und fordern Sie dann einen neuen Link an.
sent-again = Neuen Link anfordern

choose-title = Neues Passwort festlegen
choose-rules = Mindestens { $min } Zeichen. Ein paar Wörter, die nicht zusammengehören, sind sicher und leicht zu merken.
choose-show = Passwort anzeigen
choose-hide = Passwort verbergen
choose-count = { $count } von mindestens { $min } Zeichen
choose-good = Dieses Passwort ist gut.
choose-button = Passwort festlegen

done-title = Ihr neues Passwort ist festgelegt
done-body = Sie können sich jetzt damit anmelden. Links in älteren E-Mails funktionieren nicht mehr.

dead-title = Dieser Link funktioniert nicht mehr
dead-body = Er ist abgelaufen oder wurde schon benutzt, oder es wurde ein neueres Passwort festgelegt. Wenn Sie gerade selbst eines festgelegt haben, versuchen Sie, sich damit anzumelden. Fordern Sie sonst einen neuen Link an:

forbidden-title = Diese Seite ist hier nicht verfügbar

error-email = Geben Sie eine einzelne E-Mail-Adresse ein, zum Beispiel ada@example.com.
error-password = Geben Sie ein neues Passwort ein.
error-code = Fügen Sie den Code aus der E-Mail ein.
error-form = Das Formular konnte nicht gelesen werden. Prüfen Sie es und senden Sie es noch einmal.
error-too-short = Verwenden Sie mindestens { $min } Zeichen.
error-too-long = Verwenden Sie höchstens { $max } Zeichen.
error-too-guessable = Dieses Passwort ist leicht zu erraten. Ergänzen Sie ein paar Wörter, die nicht zusammengehören, und vermeiden Sie Namen, Daten und Muster.
error-contains-account = Dieses Passwort beruht auf Ihrem Namen oder Ihrer Adresse, die andere kennen. Lassen Sie beides weg oder ergänzen Sie ein paar Wörter, die nichts damit zu tun haben.
error-breached = Dieses Passwort ist aus einem Datenleck bei einem anderen Dienst bekannt. Wählen Sie ein anderes.
error-token = Dieser Link funktioniert nicht mehr. Er ist abgelaufen oder wurde schon benutzt, oder es wurde ein neueres Passwort festgelegt. Wenn Sie gerade selbst eines festgelegt haben, versuchen Sie, sich damit anzumelden. Fordern Sie sonst einen neuen Link an.
error-forbidden = Diese Adresse nimmt keine direkten Anfragen an. Gehen Sie zu der Website oder App, bei der Sie Ihr Konto haben, und setzen Sie Ihr Passwort dort zurück.
error-limited = Aus Ihrem Netzwerk kamen zu viele Anfragen. Versuchen Sie es in { $minutes ->
    [one] einer Minute
   *[other] { $minutes } Minuten
} noch einmal.
error-unavailable = Bei uns ist etwas schiefgegangen. Senden Sie das Formular in einer Minute noch einmal.
error-unavailable-choose = Bei uns ist etwas schiefgegangen. Versuchen Sie, sich mit dem neuen Passwort anzumelden. Wenn das nicht klappt, senden Sie das Formular in einer Minute noch einmal.
error-reference = Referenz:
