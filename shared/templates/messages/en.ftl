# Names in braces with a dollar sign are filled in; they stay as they are in every language.

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
mail-support = If you need help, turn to { $support }
mail-sent-to = This mail was sent to { $email } because somebody used it at { $app }.

reset-subject = Set a new password for { $app }
reset-preheader = The link holds until { $date } and works once.
reset-asked = Somebody, probably you, asked to set a new password for the account { $email } at { $app }.
reset-open = Open this link to choose one:
reset-button = Set a new password
reset-until = The link holds until { $date } and works once.
reset-code = If the page asks for a code, paste this one:
reset-not-you = If it was not you, there is nothing to do: your password stays as it is, and nobody can change it without this mail.

changed-subject = Your password for { $app } was changed
changed-preheader = If it was you, there is nothing to do.
changed-what = The password of the account { $email } at { $app } was changed on { $date }.
changed-you = If it was you, there is nothing to do.
changed-not-you = If it was not you, somebody may be reading your mail. Secure your mailbox first, then ask for a new password at { $app } at once: that ends what somebody else has set.
