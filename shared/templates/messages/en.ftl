# The messages in English. To add a language, add a file named after its tag, with the same messages.
# Keep the names in braces with a dollar sign: values replace them.

# The language's own name, and its direction: ltr or rtl.
language-name = English
direction = ltr

date = { $day } { $month ->
    [1] January
    [2] February
    [3] March
    [4] April
    [5] May
    [6] June
    [7] July
    [8] August
    [9] September
    [10] October
    [11] November
   *[12] December
} { $year }, { $time } UTC

mail-greeting = Hello { $name },
mail-greeting-nameless = Hello,
mail-support = Need help? { $support }
mail-sent-to = This email was sent to { $email } because the address belongs to an account at { $app }.

reset-subject = Set a new password for { $app }
reset-preheader = The link works until { $date }, and only once.
reset-asked = Somebody, probably you, asked to set a new password for the account { $email } at { $app }.
reset-open = Open this link in your browser:
reset-button = Set a new password
reset-until = The link works until { $date }, and only once.
reset-code = If the page asks for a code, paste this one:
reset-not-you = If it was not you, you do not need to do anything: your password stays the same, and nobody can change it without this email.

changed-subject = Your password for { $app } was changed
changed-preheader = If it was you, you do not need to do anything.
changed-what = The password for the account { $email } at { $app } was changed on { $date }.
changed-you = If it was you, you do not need to do anything.
changed-not-you = If it was not you, somebody may be reading your email. First secure your email account by changing its password. Then set a new password for { $app } at once: it replaces the one that somebody else chose.

page-language = Language
page-error = Error:
page-support = Help:

field-email = Email address
field-password = New password
field-code = Code from the email
field-code-hint = It is in the email, below the link.

ask-title = Forgot your password?
ask-intro = Enter the email address of your account. You will get an email with a link to set a new password.
ask-button = Send me a link

sent-title = Look at your inbox
sent-body = If there is an account with this address, an email with a link is on its way. It says how long the link works.
sent-missing = Nothing after a few minutes? Look in your spam folder and check the address for typos, then ask again.
sent-again = Ask again

choose-title = Set a new password
choose-rules = At least { $min } characters. A few words that do not belong together are strong and easy to remember.
choose-show = Show password
choose-hide = Hide password
choose-count = { $count } of at least { $min } characters
choose-good = This password is good.
choose-button = Set password

done-title = Your password is set
done-body = You can sign in with it now. Links in older emails no longer work.

dead-title = This link no longer works
dead-body = It has expired or was already used, or a newer password has been set. If you have just set one yourself, try to sign in with it. Otherwise ask for a new link:

forbidden-title = This page is not available here

error-email = Enter one email address, such as ada@example.com.
error-password = Enter a new password.
error-code = Paste the code from the email.
error-form = The form could not be read. Check it and send it again.
error-too-short = Use at least { $min } characters.
error-too-long = Use at most { $max } characters.
error-too-guessable = This password is easy to guess. Add a few words that do not belong together; avoid names, dates and patterns.
error-contains-account = This password is built on your name or address, which others know. Leave them out, or add a few unrelated words.
error-breached = This password is known from a data breach elsewhere. Choose another one.
error-token = This link is not valid: it has expired, was already used, or belongs to another account. If you have just set a new password, try to sign in with it. Otherwise ask for another email.
error-forbidden = This address does not accept direct requests. Go to the website or app where you have your account, and reset your password there.
error-limited = Too many requests came from your network. Try again in { $minutes ->
    [one] a minute
   *[other] { $minutes } minutes
}.
error-unavailable = Something went wrong on our side. Send the form again in a minute.
error-unavailable-choose = Something went wrong on our side. Try to sign in with the new password; if that does not work, send the form again in a minute.
error-reference = Reference:
