"""The GraphQL server. Of this project it imports the domain alone; ``graph.app`` joins the rest."""
