# French puts a no-break space before a colon and a question mark.

language-name = Français
direction = ltr

date = { $day ->
    [1] 1er
   *[other] { $day }
} { $month ->
    [1] janvier
    [2] février
    [3] mars
    [4] avril
    [5] mai
    [6] juin
    [7] juillet
    [8] août
    [9] septembre
    [10] octobre
    [11] novembre
   *[12] décembre
} { $year } à { $time } UTC

mail-greeting = Bonjour { $name },
mail-greeting-nameless = Bonjour,
mail-support = Besoin d’aide ? { $support }
mail-sent-to = Cet e-mail a été envoyé à { $email } car cette adresse est associée à un compte sur { $app }.

reset-subject = Choisissez un nouveau mot de passe pour { $app }
reset-preheader = Le lien est valable jusqu’au { $date } et ne fonctionne qu’une fois.
reset-asked = Quelqu’un, probablement vous, a demandé à choisir un nouveau mot de passe pour le compte { $email } sur { $app }.
reset-open = Ouvrez ce lien dans votre navigateur :
reset-button = Choisir un nouveau mot de passe
reset-until = Le lien est valable jusqu’au { $date } et ne fonctionne qu’une fois.
reset-code = Si la page vous demande un code, collez celui-ci :
reset-not-you = Si ce n’était pas vous, vous n’avez rien à faire : votre mot de passe reste le même et personne ne peut le modifier sans cet e-mail.

changed-subject = Votre mot de passe pour { $app } a été modifié
changed-preheader = Si c’était vous, vous n’avez rien à faire.
changed-what = Le mot de passe du compte { $email } sur { $app } a été modifié le { $date }.
changed-you = Si c’était vous, vous n’avez rien à faire.
changed-not-you = Si ce n’était pas vous, quelqu’un lit peut-être vos e-mails. Sécurisez d’abord votre messagerie en modifiant son mot de passe. Choisissez ensuite sans attendre un nouveau mot de passe pour { $app } : il remplacera celui qu’une autre personne a choisi.

page-language = Langue
page-error = Erreur :
page-support = Aide :

field-email = Adresse e-mail
field-password = Nouveau mot de passe
field-code = Code reçu par e-mail
field-code-hint = Il figure dans l’e-mail, sous le lien.

ask-title = Mot de passe oublié ?
ask-intro = Saisissez l’adresse e-mail de votre compte. Vous recevrez un e-mail avec un lien pour choisir un nouveau mot de passe.
ask-button = Recevoir un lien

sent-title = Consultez votre boîte de réception
sent-body = S’il existe un compte avec cette adresse, un e-mail contenant un lien est en route. Il indique jusqu’à quand le lien est valable.
sent-missing = Toujours rien après quelques minutes ? Regardez dans votre dossier spam, vérifiez que l’adresse est bien écrite, puis refaites la demande.
sent-again = Refaire la demande

choose-title = Choisissez un nouveau mot de passe
choose-rules = Au moins { $min } caractères. Quelques mots sans lien entre eux forment un mot de passe sûr et facile à retenir.
choose-show = Afficher le mot de passe
choose-hide = Masquer le mot de passe
choose-count = { $count } sur { $min } caractères au minimum
choose-good = Ce mot de passe est bon.
choose-button = Enregistrer le mot de passe

done-title = Votre nouveau mot de passe est enregistré
done-body = Vous pouvez dès maintenant l’utiliser pour vous connecter. Les liens des e-mails précédents ne fonctionnent plus.

dead-title = Ce lien ne fonctionne plus
dead-body = Il a expiré, il a déjà été utilisé ou un mot de passe plus récent a été choisi. Si vous venez d’en choisir un, essayez de vous connecter avec celui-ci. Sinon, demandez un nouveau lien :

forbidden-title = Cette page n’est pas disponible ici

error-email = Saisissez une seule adresse e-mail, par exemple ada@example.com.
error-password = Saisissez un nouveau mot de passe.
error-code = Collez le code reçu par e-mail.
error-form = Le formulaire n’a pas pu être lu. Vérifiez-le et envoyez-le à nouveau.
error-too-short = Utilisez au moins { $min } caractères.
error-too-long = Utilisez au plus { $max } caractères.
error-too-guessable = Ce mot de passe est facile à deviner. Ajoutez quelques mots sans lien entre eux et évitez les noms, les dates et les suites.
error-contains-account = Ce mot de passe reprend votre nom ou votre adresse, que d’autres connaissent. Retirez-les ou ajoutez quelques mots sans rapport.
error-breached = Ce mot de passe figure dans une fuite de données d’un autre service. Choisissez-en un autre.
error-token = Ce lien ne fonctionne plus. Il a expiré, il a déjà été utilisé ou un mot de passe plus récent a été choisi. Si vous venez d’en choisir un, essayez de vous connecter avec celui-ci. Sinon, demandez un nouveau lien.
error-forbidden = Cette adresse n’accepte pas les requêtes directes. Rendez-vous sur le site ou dans l’application où vous avez votre compte et réinitialisez-y votre mot de passe.
error-limited = Trop de demandes sont venues de votre réseau. Réessayez dans { $minutes ->
    [one] une minute
   *[other] { $minutes } minutes
}.
error-unavailable = Un problème est survenu de notre côté. Envoyez à nouveau le formulaire dans une minute.
error-unavailable-choose = Un problème est survenu de notre côté. Essayez de vous connecter avec le nouveau mot de passe. Si cela ne fonctionne pas, envoyez à nouveau le formulaire dans une minute.
error-reference = Référence :
