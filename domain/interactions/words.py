"""What CRMs, portals and RESO call the acts of investors.

Keys are made by ``canonical.word``. A word that does not say what the investor did is not listed:
"Search", "Note", "Share" or "Email opened" are no interaction with a property that has a kind, and
"Interested" or "Under Contract" may be said of a seller.
"""

from collections.abc import Mapping

from domain.contract.vocabulary import InteractionKind
from domain.core.words import by_word

# An offer reaches the seller and makes nobody an owner: OUTREACH. A visit is a view, and asking for
# one is OUTREACH. RESO's "Favorited" and "Discard" are what its clients save and take off a list.
INTERACTION_KINDS: Mapping[str, InteractionKind] = by_word(
    {
        InteractionKind.VIEW: """
            view, views, viewed, viewing, property view, property views, property viewed,
            property page view, view property, viewed property, viewed a property, listing view,
            listing views, listing viewed, viewed listing, view listing, home viewed, viewed home,
            detailed view, detail view, details viewed, viewed details, photo gallery,
            viewed photos, property videos, virtual tour, viewed virtual tour, tour, toured,
            toured property, property tour, property toured, showing, showing attended,
            showing completed, attended showing, open house, open house visit, visited open house,
            attended open house, visited property, property visit
        """,
        InteractionKind.SAVE: """
            save, saves, saved, save property, saved property, saved a property, property save,
            property saved, save listing, saved listing, listing saved, saved home, home saved,
            favorite, favorites, favorited, favourite, favourites, favourited, favorite property,
            favorited property, property favorited, favorite listing, favorited listing,
            listing favorited, favorited home, favorite added, added to favorites,
            add to favorites, added favorite, added to favourites, bookmark, bookmarks, bookmarked,
            bookmarked property, shortlist, shortlisted, added to shortlist, star, starred,
            watchlist, watchlisted, added to watchlist, wishlist, wishlisted, added to wishlist,
            heart, hearted
        """,
        InteractionKind.OUTREACH: """
            outreach, contact, contacted, contacted agent, contact agent, contact owner,
            contacted owner, contacted seller, inquiry, inquiries, inquired, enquiry, enquired,
            property inquiry, inquired about property, listing inquiry, property enquiry, lead form,
            lead form submitted, submission of lead form, submitted lead form, request info,
            requested info, info requested, request information, requested information,
            information requested, clicked on email address, clicked on phone number, call, calls,
            called, phone call, phone, logged call, call logged, call made, made call, call placed,
            incoming call, inbound call, outgoing call, outbound call, email, emails, emailed,
            e mail, email sent, sent email, logged email, outgoing email, incoming email, text,
            texts, texted, text sent, sent text, text message, sms, sms sent, sent sms, message,
            messages, messaged, message sent, sent message, voicemail, voicemail left,
            left voicemail, mail, mailed, mail sent, mailer sent, direct mail, direct mail sent,
            letter sent, postcard sent, meeting, meeting held, meeting scheduled, appointment,
            appointment set, appointment scheduled, showing request, showing requested,
            request showing, requested showing, request a showing, showing scheduled,
            schedule showing, scheduled showing, tour request, tour requested, request tour,
            requested tour, request a tour, tour scheduled, schedule tour, scheduled tour, offer,
            offers, offer made, made offer, made an offer, offer sent, sent offer, offer submitted,
            submitted offer, loi sent, letter of intent sent
        """,
        InteractionKind.DEAL: """
            deal, deals, deal closed, closed deal, deal won, won deal, closed won, won, closed,
            sale closed, transaction closed, purchase, purchases, purchased,
            property purchased, purchased property, bought, buy, acquired, acquisition,
            property acquired, acquired property, purchase closed, closed purchase
        """,
        InteractionKind.THUMBS_UP: """
            thumbs up, thumb up, thumbed up, like, likes, liked, liked property, property liked,
            love, loved, upvote, upvoted
        """,
        InteractionKind.THUMBS_DOWN: """
            thumbs down, thumb down, thumbed down, dislike, dislikes, disliked, disliked property,
            property disliked, downvote, downvoted
        """,
        InteractionKind.DISMISS: """
            dismiss, dismissed, dismissed property, property dismissed, hide, hid, hidden,
            hide property, hidden property, property hidden, hide listing, hidden listing,
            listing hidden, hide home, hidden home, archive, archived, archived property,
            property archived, discard, discarded, discarded property, skip, skipped, x out, ignore,
            ignored
        """,
    }
)
